"""Conducting a study: run the trials that the search asks for, and write each down, until there is an answer.

What was tried before is told to the search again, so a study goes on where it was. A trial that is invalid is
repeated twice; if it stays invalid, its level cannot be measured here, and the search ends below it: it has no part in
the answer but to leave it open.
"""

from __future__ import annotations

from collections import deque
from math import ceil, log
from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from loadstone.capacity.evidence import Observation
from loadstone.capacity.study_record import TrialRecord, UsersAnswerRecord, UsersQuestion
from loadstone.capacity.trial import Outcome
from loadstone.capacity.users import MostUsers
from loadstone.domain.objective import parse_objective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.capacity.study import StudyFolder
    from loadstone.capacity.study_record import StudyRecord
    from loadstone.capacity.users import AskUsers, UsersAnswer

__all__ = ["Interrupted", "StudyTeller", "conduct_users"]

_MOST_INVALID: Final = 3
_BEYOND: Final = 50
"""So many requests must be slower than a percentile for it to be known."""
_LONGEST_S: Final = 600.0
_FAR: Final = 3.0
_OBSERVED: Final = frozenset({Outcome.HOLDS, Outcome.FAILS})


class Interrupted(Exception):  # noqa: N818  (not an error)
    """The user ended the study; it can be resumed."""


class StudyTeller(Protocol):
    """Shows how a study goes on."""

    def begins(self, number: int, ask: AskUsers) -> None:
        """A trial begins."""

    def ended(self, number: int, trial: TrialRecord) -> None:
        """A trial has ended."""


class _OutOfReach(Exception):  # noqa: N818  (not an error)
    """A level of users at which no trial is valid, or for which there is no time."""

    def __init__(self, users: int, why: str) -> None:
        super().__init__(why)
        self.users, self.why = users, why


def conduct_users(
    folder: StudyFolder,
    study: StudyRecord,
    run_trial: Callable[[AskUsers], TrialRecord],
    teller: StudyTeller,
    time_is_up: Callable[[AskUsers], bool] = lambda _: False,
) -> StudyRecord:
    """The study with all its trials and its answer, which is written down too.

    ``run_trial`` raises `Interrupted` when the user does not want to go on; what was tried until then is kept.
    """
    trials = _Trials(folder, study, run_trial, teller, time_is_up)
    search = MostUsers(fewest=study.at_least, most=study.at_most, first=study.first, measure_s=study.measure_s)
    try:
        known = _proved(_converse(search, trials))
    except _OutOfReach as limit:
        known = _open(_known_below(search, trials), limit)
    return trials.write(answer=known)


def _known_below(search: MostUsers, trials: _Trials) -> UsersAnswer:
    """The most that held, held for longer if there is time."""
    best = search.best_known()
    if best.holds is None:
        return best
    try:
        answer = _converse(search.below(best.holds), trials)
    except _OutOfReach:
        return search.best_known()
    return answer if answer.not_held is not None else best


def _proved(answer: UsersAnswer) -> UsersAnswerRecord:
    known = UsersAnswerRecord(
        holds=answer.holds, not_held=answer.not_held, not_held_undecided=answer.undecided, proved=True
    )
    if answer.holds is None and answer.undecided:
        return replace(known, proved=False, open=f"{answer.not_held:,} users are too near the limit to tell")
    return known


def _open(best: UsersAnswer, limit: _OutOfReach) -> UsersAnswerRecord:
    return UsersAnswerRecord(
        holds=best.holds,
        not_held=best.not_held,
        not_held_undecided=best.undecided,
        proved=False,
        open=f"{limit.users:,} users could not be measured: {limit.why}",
    )


def _converse(search: MostUsers, trials: _Trials) -> UsersAnswer:
    steps = search.steps()
    try:
        ask = next(steps)
        while True:
            ask = steps.send(trials.observe(ask))
    except StopIteration as end:
        answer: UsersAnswer = end.value
        return answer


class _Trials:
    """The trials of a study: those that were made, and those that are made now."""

    def __init__(
        self,
        folder: StudyFolder,
        study: StudyRecord,
        run_trial: Callable[[AskUsers], TrialRecord],
        teller: StudyTeller,
        time_is_up: Callable[[AskUsers], bool],
    ) -> None:
        self._folder, self._study = folder, study
        self._run_trial, self._teller, self._time_is_up = run_trial, teller, time_is_up
        self._past: dict[int, deque[TrialRecord]] = {}
        for trial in study.trials:
            self._past.setdefault(trial.users, deque()).append(trial)

    def observe(self, ask: AskUsers) -> Observation:
        for _ in range(_MOST_INVALID):
            trial = self._next(ask)
            if trial.outcome in _OBSERVED:
                return Observation(margin=trial.margin, margin_se=trial.margin_se)
        raise _OutOfReach(ask.users, trial.why)

    def write(self, **changes: object) -> StudyRecord:
        self._study = replace(self._study, **changes)
        self._folder.write(self._study)
        return self._study

    def _next(self, ask: AskUsers) -> TrialRecord:
        if past := self._past.get(ask.users):
            return past.popleft()
        ask = ask.for_at_least(_needed_s(self._study, ask.users))
        if self._time_is_up(ask):
            raise _OutOfReach(ask.users, "there was no time left in the budget")
        number = len(self._study.trials) + 1
        self._teller.begins(number, ask)
        trial = self._run_trial(ask)
        self.write(trials=(*self._study.trials, trial))
        self._teller.ended(number, trial)
        return trial


def _needed_s(study: StudyRecord, users: int) -> float:
    """How long to measure for the percentiles asked for, at the rate of the nearest trial.

    0 if that was far from a limit: a percentile of few requests is uncertain, but not by a factor of `_FAR`.
    """
    tried = [trial for trial in study.trials if trial.margin is not None and trial.rps]
    nearest = min(tried, key=lambda trial: abs(log(trial.users / users)), default=None)
    beyond = min(_shares_beyond(study), default=0.0)
    if nearest is None or not beyond or abs(nearest.margin or 0.0) > log(_FAR):
        return 0.0
    rate = (nearest.rps or 0.0) / nearest.users * users
    return min(ceil(_BEYOND / (rate * beyond)), _LONGEST_S)


def _shares_beyond(study: StudyRecord) -> Iterator[float]:
    for text in study.objectives:
        percent = parse_objective(text).percent
        if percent is not None and percent < 100:  # noqa: PLR2004  (a percentage)
            yield 1 - percent / 100
