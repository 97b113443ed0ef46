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

    from loadstone.capacity.study_record import Question, StudyRecord, UsersAnswerRecord
    from loadstone.rig.rig import Setting

__all__ = ["USUAL_RESULTS", "answer_sentences", "answer_text", "confidence_text", "exit_code", "question_text"]

_HOLDS: Final = "holds"
_SELDOM: Final = 0.001
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
        what, of = f"the cheapest limits that hold {_users(study.question.users)}", study.rig or study.host
    else:
        what, of = "the most users that the target holds", study.host
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
    return _of_users(study, answer)


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
    if answer is None or isinstance(answer, SettingAnswerRecord) or answer.holds is None:
        return ""
    return f"With {_users(answer.holds)} it held in {_held(study, users=answer.holds)}."


def _of_settings(study: StudyRecord, answer: SettingAnswerRecord) -> Sequence[str]:
    setting, question, aims = answer.setting, study.question, aims_text(study.objectives)
    users = _users(question.users) if isinstance(question, SettingQuestion) else "the users"
    if setting is None and answer.proved:
        top = max((trial.setting for trial in study.trials if trial.setting), key=_size, default=None)
        largest = f", not even {limits_phrase(top)}{why_text(study, setting=top)}" if top else ""
        return [f"No limits in range are enough for {users} ({aims}){largest}."]
    if setting is None:
        return [f"No limits were proved to be enough for {users} ({aims}): {answer.open}."]
    are, they = ("are", "They") if setting.replicas > 1 else ("is", "It")
    price = "" if answer.price is None else f", for {_price(answer.price, question)}"
    sentences = [
        f"{limits_phrase(setting)} {are} enough for {users} ({aims}){price}.",
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


def _of_users(study: StudyRecord, answer: UsersAnswerRecord) -> Sequence[str]:
    aims, more = aims_text(study.objectives), answer.not_held
    if answer.holds is not None:
        least = "" if answer.proved else "at least "
        most = ", the most that were allowed" if answer.proved and more is None else ""
        sentences = [f"The target holds {least}{_users(answer.holds)} ({aims}){most}."]
    elif answer.proved and more is not None:
        return [f"The target does not hold even {_users(more)} ({aims}){why_text(study, users=more)}."]
    else:
        sentences, more = [f"The target was not proved to hold any number of users ({aims})."], None
    if more is not None and answer.not_held_undecided:
        sentences.append(f"With {_users(more)} the trials were too near the limit to tell.")
    elif more is not None:
        were = "was" if more == 1 else "were"
        sentences.append(f"{_users(more)} {were} too many{why_text(study, users=more)}.")
    if answer.open and answer.proved:
        sentences.append(f"Which numbers between them it holds is open: {answer.open}.")
    elif answer.open:
        sentences.append(f"Whether it holds {'more' if answer.holds is not None else 'any'} is open: {answer.open}.")
    return sentences


def _held(study: StudyRecord, *, setting: Setting | None = None, users: int | None = None) -> str:
    """How many of the valid trials held, and what they answered: "3 of 3 trials, at 840 requests/s"."""
    valid = valid_trials(study, setting=setting, users=users)
    held = [trial for trial in valid if trial.outcome == _HOLDS]
    rates = [trial.rps for trial in held if trial.rps is not None]
    rate = f", at {number(median(rates))} requests/s" if rates else ""
    return f"{len(held)} of {counted(len(valid), 'trial')}{rate}"


def _users(users: int) -> str:
    return counted(users, "user")


def _size(setting: Setting) -> tuple[float, float]:
    return setting.cpu_cores * setting.replicas, setting.mem_bytes * setting.replicas
