"""The answer of a study in words: one sentence that needs no explanation, how sure it is, and its exit code."""

from __future__ import annotations

from collections import Counter
from math import erfc, exp, sqrt
from typing import TYPE_CHECKING, Final

from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion
from loadstone.errors import ExitCode
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.capacity.study_record import (
        BottleneckRecord,
        NeighbourRecord,
        StudyRecord,
        TrialRecord,
        UsersAnswerRecord,
    )
    from loadstone.rig.rig import Setting

__all__ = [
    "answer_text",
    "bottleneck_at",
    "confidence_text",
    "exit_code",
    "margin_text",
    "question_text",
    "setting_text",
]

_HOLDS: Final = "holds"
_FAILS: Final = "does not hold"
_SELDOM: Final = 0.001
_CONFIDENT: Final = 1.96
"""Standard errors to each side of an interval that holds the truth in 95 % of the cases."""


def exit_code(study: StudyRecord) -> ExitCode:
    """0: proved, 1: proved that nothing that may be tried holds, 3: not proved."""
    answer = study.answer
    if answer is None or not answer.proved:
        return ExitCode.INCONCLUSIVE
    holds = answer.setting if isinstance(answer, SettingAnswerRecord) else answer.holds
    return ExitCode.FAIL if holds is None else ExitCode.PASS


def question_text(study: StudyRecord) -> str:
    """What the study asks."""
    if isinstance(study.question, SettingQuestion):
        what = f"the cheapest limits of {study.rig or study.host} that hold {study.question.users:,} users"
    else:
        what = f"the most users of {study.host}"
    return f"{what} with {_objectives(study)}"


def answer_text(study: StudyRecord) -> str:
    """The answer in one sentence; a second one says what is open."""
    answer = study.answer
    if answer is None:
        return f"There is no answer yet: `loadstone capacity --resume {study.id}` goes on with the study."
    if isinstance(answer, SettingAnswerRecord):
        return _of_settings(study, answer)
    return _of_users(study, answer)


def confidence_text(study: StudyRecord) -> str:
    """How sure the answer is; empty where there is nothing to be sure of."""
    answer = study.answer
    if isinstance(answer, SettingAnswerRecord) and answer.margin is not None and answer.margin_se:
        seldom = erfc(-answer.margin / answer.margin_se / sqrt(2)) / 2
        cases = "less than 1 of 1,000 cases" if seldom < _SELDOM else f"about {1000 * seldom:.0f} of 1,000 cases"
        return (
            f"Over {_counted(answer.trials, 'trial')} the objective nearest to its limit was "
            f"{margin_text(answer.margin, answer.margin_se)}: a setting that only just holds would look as good in "
            f"{cases}."
        )
    if answer is None or isinstance(answer, SettingAnswerRecord) or answer.holds is None:
        return ""
    held, valid = _trials_at(study, users=answer.holds)
    return f"{held} of {valid} valid trials with {answer.holds:,} users held."


def margin_text(margin: float, se: float) -> str:
    """A margin as people read it: how much of its limit an objective had to spare, or was beyond it."""
    sign = 1 if margin > 0 else -1
    share, *ends = (
        100 * sign * (exp(each) - 1) for each in (margin, margin - _CONFIDENT * se, margin + _CONFIDENT * se)
    )
    low, high = sorted(ends)
    interval = f" (95 % interval: {low:.0f} to {high:.0f} %)" if se else ""
    return f"missed by {share:.0f} %{interval}" if sign > 0 else f"held with {share:.0f} % to spare{interval}"


def setting_text(setting: Setting) -> str:
    """Limits as the subject of a sentence: "2 replicas of 0.75 CPU and 512m"."""
    return f"{_counted(setting.replicas, 'replica')} of {setting.cpu_cores:g} CPU and {memory_text(setting.mem_bytes)}"


def _trials_at(study: StudyRecord, *, setting: Setting | None = None, users: int | None = None) -> tuple[int, int]:
    """How many of the valid trials of a setting, or of so many users, held, and how many there are."""
    valid = [trial for trial in _tried(study, setting, users) if trial.outcome in {_HOLDS, _FAILS}]
    return sum(trial.outcome == _HOLDS for trial in valid), len(valid)


def bottleneck_at(
    study: StudyRecord, *, setting: Setting | None = None, users: int | None = None
) -> BottleneckRecord | None:
    """What limited the target there: the cause that most of the trials name, as it was in the middle one of these."""
    named = [trial for trial in _tried(study, setting, users) if trial.bottleneck is not None]
    known = [trial for trial in named if trial.bottleneck and trial.bottleneck.cause != "unknown"] or named
    if not known:
        return None
    (cause, _), *_ = Counter(trial.bottleneck.cause for trial in known if trial.bottleneck).most_common(1)
    same = [trial for trial in known if trial.bottleneck and trial.bottleneck.cause == cause]
    return sorted(same, key=lambda trial: trial.margin or 0.0)[len(same) // 2].bottleneck


def _tried(study: StudyRecord, setting: Setting | None, users: int | None) -> Sequence[TrialRecord]:
    return [
        trial
        for trial in study.trials
        if (setting is None or trial.setting == setting) and (users is None or trial.users == users)
    ]


def _of_settings(study: StudyRecord, answer: SettingAnswerRecord) -> str:
    setting, load = answer.setting, f"{_users(study)} with {_objectives(study)}"
    if setting is None and answer.proved:
        top = max((trial.setting for trial in study.trials if trial.setting), key=_size, default=None)
        largest = f": not even {setting_text(top)} {'do' if top.replicas > 1 else 'does'}" if top else ""
        return f"No setting in range holds {load}{largest}{_why(study, top)}."
    if setting is None:
        return f"No setting was proved to hold {load}: {answer.open}."
    held, valid = _trials_at(study, setting=setting)
    price = "" if answer.price is None else f", for {answer.price:.3g} an hour"
    verb = "hold" if setting.replicas > 1 else "holds"
    sentence = f"{setting_text(setting)} {verb} {load} ({held} of {valid} trials){price}"
    parts = [sentence, *(_of_neighbour(study, setting, each) for each in answer.smaller)]
    if answer.proved:
        return f"{'; '.join(parts)}."
    return f"{'; '.join(parts)}. Whether less holds them too is open: {answer.open}."


def _of_neighbour(study: StudyRecord, answer: Setting, neighbour: NeighbourRecord) -> str:
    """What one step less does."""
    less, many = neighbour.setting, answer.replicas > 1
    each, subject = (" each" if many else ""), ("they" if many else "it")
    with_less = (
        f"with {less.cpu_cores:g} CPU{each}"
        if less.mem_bytes == answer.mem_bytes
        else (
            f"with {memory_text(less.mem_bytes)}{each}"
            if less.cpu_cores == answer.cpu_cores
            else f"as {setting_text(less)}"
        )
    )
    if neighbour.finding in {"fails", "breaks"}:
        return f"{with_less} {subject} {'do' if many else 'does'} not{_why(study, less)}"
    if neighbour.finding == "undecided":
        return f"{with_less} the trials were too near the limit to tell"
    return f"{with_less} {subject} held too, without memory to spare"


def _why(study: StudyRecord, setting: Setting | None) -> str:
    """The evidence of a setting that did not hold, to follow a sentence."""
    if setting is None:
        return ""
    found = bottleneck_at(study, setting=setting)
    if found is not None and found.cause != "unknown":
        return f": {found.evidence}"
    reasons = [trial.why for trial in _tried(study, setting, None) if trial.outcome == _FAILS and trial.why]
    return f": {reasons[0]}" if reasons else ""


def _of_users(study: StudyRecord, answer: UsersAnswerRecord) -> str:
    objectives = _objectives(study)
    if answer.holds is None:
        held = f"No number of users that was tried held {objectives}"
    elif answer.proved and answer.not_held is None:
        held = f"The target holds {answer.holds:,} users with {objectives}, the most that were allowed"
    elif answer.proved:
        above = "are too near the limit to tell" if answer.not_held_undecided else "were too many"
        return f"The target holds {answer.holds:,} users with {objectives}; {answer.not_held:,} {above}."
    else:
        held = f"The target holds at least {answer.holds:,} users with {objectives}"
    return f"{held}. Whether it holds more is open: {answer.open}." if answer.open else f"{held}."


def _users(study: StudyRecord) -> str:
    question = study.question
    return f"{question.users:,} users" if isinstance(question, SettingQuestion) else "the users"


def _size(setting: Setting) -> tuple[float, float]:
    return setting.cpu_cores * setting.replicas, setting.mem_bytes * setting.replicas


def _objectives(study: StudyRecord) -> str:
    return " and ".join(study.objectives)


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
