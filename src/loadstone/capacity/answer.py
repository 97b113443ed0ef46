"""The answer of a study in words: a sentence that needs no explanation first, how sure it is, and its exit code."""

from __future__ import annotations

import shlex
from math import erfc, sqrt
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.capacity.less import sentences_on_less
from loadstone.capacity.phrases import aims_text, counted, limits_phrase, margin_text
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion
from loadstone.capacity.telling import nearest_objective, valid_trials, why_text
from loadstone.capacity.texts import number
from loadstone.errors import ExitCode
from loadstone.settings.capacity import FARGATE_CPU, FARGATE_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.capacity.load import Load
    from loadstone.capacity.study_record import MostAnswerRecord, Question, StudyRecord
    from loadstone.rig.rig import Setting

__all__ = ["USUAL_RESULTS", "answer_sentences", "answer_text", "confidence_text", "exit_code", "question_text"]

_HOLDS: Final = "holds"
_SELDOM: Final = 0.001
_KIND: Final = {False: "number of users", True: "rate of arrivals"}
_BETWEEN: Final = {False: "numbers", True: "rates"}
"""By whether the study is about rates."""
USUAL_RESULTS: Final = Path("results")


def exit_code(study: StudyRecord) -> ExitCode:
    """0: proved, 1: proved that nothing that may be tried holds, 3: not proved."""
    answer = study.answer
    if answer is None or not answer.proved:
        return ExitCode.INCONCLUSIVE
    holds = answer.setting if isinstance(answer, SettingAnswerRecord) else answer.holds
    return ExitCode.FAIL if holds is None else ExitCode.PASS


def question_text(study: StudyRecord) -> str:
    """What the study asks, and of which target in brackets: its name may be a command."""
    if isinstance(study.question, SettingQuestion):
        what, of = f"the cheapest limits that hold {study.question.load}", study.rig or study.host
    else:
        what = "arrivals a second" if study.has_rates else "users"
        what, of = f"the most {what} that the target holds", study.host
    return f"{what} with {' and '.join(study.objectives)} ({of})"


def answer_text(study: StudyRecord, results: Path = USUAL_RESULTS) -> str:
    """The answer, the most important sentence first. ``results``: the folder that the study is in."""
    return " ".join(answer_sentences(study, results))


def answer_sentences(study: StudyRecord, results: Path = USUAL_RESULTS) -> Sequence[str]:
    """The sentences of `answer_text`; the first one can stand alone."""
    answer = study.answer
    if answer is None:
        options = () if results == USUAL_RESULTS else ("--results", str(results))
        command = shlex.join(("loadstone", "capacity", "--resume", study.id, *options))
        return [f"There is no answer yet: `{command}` goes on with the study."]
    if isinstance(answer, SettingAnswerRecord):
        return _of_settings(study, answer)
    return _of_load(study, answer)


def confidence_text(study: StudyRecord) -> str:
    """How sure the answer is; empty where there is nothing to be sure of."""
    answer = study.answer
    if isinstance(answer, SettingAnswerRecord) and answer.margin is not None and answer.margin_se:
        seldom = erfc(-answer.margin / answer.margin_se / sqrt(2)) / 2
        nearest = nearest_objective(valid_trials(study, setting=answer.setting))
        name = f", {nearest}," if nearest else ""
        cases = "less than 1 of 1,000 cases" if seldom < _SELDOM else f"about {1000 * seldom:.0f} of 1,000 cases"
        return (
            f"Over {counted(answer.trials, 'trial')} the objective nearest to its limit{name} was "
            f"{margin_text(answer.margin, answer.margin_se)}: a setting that only just holds would look as good in "
            f"{cases}."
        )
    if answer is None or isinstance(answer, SettingAnswerRecord) or answer.highest is None:
        return ""
    return f"With {answer.highest} it held in {_held(study, load=answer.highest)}."


def _of_settings(study: StudyRecord, answer: SettingAnswerRecord) -> Sequence[str]:
    setting, question, aims = answer.setting, study.question, aims_text(study.objectives)
    load = str(question.load) if isinstance(question, SettingQuestion) else "the load"
    if setting is None and answer.proved:
        top = max((trial.setting for trial in study.trials if trial.setting), key=_size, default=None)
        largest = f", not even {limits_phrase(top)}{why_text(study, setting=top)}" if top else ""
        return [f"No limits in range are enough for {load} ({aims}){largest}."]
    if setting is None:
        return [f"No limits were proved to be enough for {load} ({aims}): {answer.open}."]
    are, they = ("are", "They") if setting.replicas > 1 else ("is", "It")
    price = "" if answer.price is None else f", for {_price(answer.price, question)}"
    sentences = [
        f"{limits_phrase(setting)} {are} enough for {load} ({aims}){price}.",
        f"{they} held in {_held(study, setting=setting)}.",
    ]
    if isinstance(question, SettingQuestion):
        sentences += sentences_on_less(study, question, answer, setting)
    if not answer.proved:
        sentences.append(f"Whether less is enough too is open: {answer.open}.")
    return sentences


def _price(price: float, question: Question) -> str:
    """In which currency is known only of the usual prices."""
    usual = (float(FARGATE_CPU), float(FARGATE_MEMORY), 0.0)
    if isinstance(question, SettingQuestion):
        prices = (question.price_cpu, question.price_memory, question.price_replica)
        if prices == usual:
            return f"{price:.3g} USD an hour at the prices of AWS Fargate"
    return f"a price of {price:.3g} an hour"


def _of_load(study: StudyRecord, answer: MostAnswerRecord) -> Sequence[str]:
    aims, more = aims_text(study.objectives), answer.too_much
    if answer.highest is not None:
        least = "" if answer.proved else "at least "
        most = ", the most that were allowed" if answer.proved and more is None else ""
        sentences = [f"The target holds {least}{answer.highest} ({aims}){most}."]
    elif answer.proved and more is not None:
        return [f"The target does not hold even {more} ({aims}){why_text(study, load=more)}."]
    else:
        sentences, more = [f"The target was not proved to hold any {_KIND[study.has_rates]} ({aims})."], None
    if more is not None and answer.not_held_undecided:
        sentences.append(f"With {more} the trials were too near the limit to tell.")
    elif more is not None:
        were = "was" if more.amount == 1 else "were"
        sentences.append(f"{more} {were} too many{why_text(study, load=more)}.")
    if answer.open and answer.proved:
        sentences.append(f"Which {_BETWEEN[study.has_rates]} between them it holds is open: {answer.open}.")
    elif answer.open:
        sentences.append(f"Whether it holds {'more' if answer.holds is not None else 'any'} is open: {answer.open}.")
    return sentences


def _held(study: StudyRecord, *, setting: Setting | None = None, load: Load | None = None) -> str:
    """How many of the valid trials held, and what they answered: "3 of 3 trials, at 840 requests/s"."""
    valid = valid_trials(study, setting=setting, load=load)
    held = [trial for trial in valid if trial.outcome == _HOLDS]
    rates = [trial.rps for trial in held if trial.rps is not None]
    rate = f", at {number(median(rates))} requests/s" if rates else ""
    return f"{len(held)} of {counted(len(valid), 'trial')}{rate}"


def _size(setting: Setting) -> tuple[float, float]:
    return setting.cpu_cores * setting.replicas, setting.mem_bytes * setting.replicas
