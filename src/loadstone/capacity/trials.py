"""Trials: those of a study that were made, told again to a search that is resumed, and those that are made now.

Each is written down when it has ended. A trial that is invalid is repeated twice; if it stays invalid, what it was to
try cannot be measured here: it has no part in the answer but to leave it open.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import ceil, log
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from msgspec import structs

from loadstone.capacity.page import write_page
from loadstone.capacity.trial import Outcome
from loadstone.capacity.trials_csv import write_trials_csv
from loadstone.domain.objective import parse_objective

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from loadstone.capacity.load import Load
    from loadstone.capacity.study import StudyFolder
    from loadstone.capacity.study_record import StudyRecord, TrialRecord
    from loadstone.capacity.trial import TrialPlan
    from loadstone.rig.rig import Setting

__all__ = [
    "BEYOND",
    "LONGEST_S",
    "Interrupted",
    "OutOfReach",
    "StudyTeller",
    "Trials",
    "converse",
    "requests_to_tell",
]

_MOST_INVALID: Final = 3
BEYOND: Final = 50
"""So many requests must be slower than a percentile for it to be known."""
LONGEST_S: Final = 600.0
"""However few requests there are."""
_FAR: Final = 3.0
_NONE_OF: Final = 6.0
"""No failure where six were expected happens by chance once in 400 times."""
_ALL: Final = 100.0
"""Percent."""
_OBSERVED: Final = frozenset({Outcome.HOLDS, Outcome.FAILS})
Asked = TypeVar("Asked")
Seen = TypeVar("Seen")
Found = TypeVar("Found")


class Interrupted(Exception):  # noqa: N818  (not an error)
    """The user ended the study; it can be resumed."""


class OutOfReach(Exception):  # noqa: N818  (not an error)
    """What cannot be tried: no trial of it is valid, or there is no time for it."""

    def __init__(self, plan: TrialPlan, why: str) -> None:
        super().__init__(f"{plan.what} could not be measured: {why}")


class StudyTeller(Protocol):
    """Shows how a study goes on."""

    def begins(self, number: int, plan: TrialPlan) -> None:
        """A trial begins."""

    def ended(self, number: int, trial: TrialRecord) -> None:
        """A trial has ended."""


class Trials:
    """The trials of one study. ``why_not`` says why a trial may not begin any more; empty as long as it may.

    ``publish`` gets the study whenever it was written down; it raises nothing.
    ``run_trial`` raises `Interrupted` when the user does not want to go on; what was tried until then is kept.
    """

    def __init__(
        self,
        folder: StudyFolder,
        study: StudyRecord,
        run_trial: Callable[[TrialPlan], TrialRecord],
        teller: StudyTeller,
        why_not: Callable[[TrialPlan, int], str] = lambda _plan, _made: "",
        publish: Callable[[StudyRecord], object] = lambda _study: None,
    ) -> None:
        self.folder, self.study = folder, study
        self._run_trial, self._teller, self._why_not, self._publish = run_trial, teller, why_not, publish
        self._past: dict[tuple[Load, Setting | None], deque[TrialRecord]] = {}
        for trial in study.trials:
            if trial.outcome not in _OBSERVED:
                continue  # what was invalid then may be mended now
            self._past.setdefault((trial.load, trial.setting), deque()).append(trial)

    def valid(self, plan: TrialPlan) -> TrialRecord:
        """A trial that says something about the target. Raises `OutOfReach`."""
        for _ in range(_MOST_INVALID):
            trial = self._next(plan)
            if trial.outcome in _OBSERVED:
                return trial
        raise OutOfReach(plan, trial.why)

    def write(self, **changes: object) -> StudyRecord:
        """The study with these changes, which is written down too, with its table and its page."""
        self.study = structs.replace(self.study, **changes)
        self.folder.write(self.study)
        write_trials_csv(self.folder.path, self.study)
        write_page(self.folder.path, self.study)
        self._publish(self.study)
        return self.study

    def _next(self, plan: TrialPlan) -> TrialRecord:
        if past := self._past.get((plan.load, plan.setting)):
            return past.popleft()
        plan = self._long_enough(plan)
        made = len(self.study.trials)
        if why_not := self._why_not(plan, made):
            raise OutOfReach(plan, why_not)
        self._teller.begins(made + 1, plan)
        trial = self._run_trial(plan)
        self.write(trials=(*self.study.trials, trial))
        self._teller.ended(made + 1, trial)
        return trial

    def _long_enough(self, plan: TrialPlan) -> TrialPlan:
        """With windows in which there are as many requests as it takes to decide."""
        window_s = max(plan.window_s, _needed_s(self.study, plan.load))
        return replace(plan, window_s=window_s, then=tuple(map(self._long_enough, plan.then)))


def converse(steps: Generator[Asked, Seen, Found], observe: Callable[[Asked], Seen]) -> Found:
    """What a search answers when it is told what it asks for."""
    try:
        ask = next(steps)
        while True:
            ask = steps.send(observe(ask))
    except StopIteration as end:
        found: Found = end.value
        return found


def requests_to_tell(objective: str) -> float:
    """How many requests a trial needs near the limit of an objective; 0 where their number does not matter.

    A percentile: until `BEYOND` are expected to be slower. A share of failures: until none at all is clearly fewer than
    the limit allows, which takes as many as would have `_NONE_OF` failures at the limit.
    """
    judged = parse_objective(objective)
    if judged.percent is not None and judged.percent < _ALL:
        return BEYOND * _ALL / (_ALL - judged.percent)
    if judged.metric == "failures" and judged.unit == "%" and judged.limit > 0:
        return _NONE_OF * _ALL / judged.limit
    return 0.0


def _needed_s(study: StudyRecord, load: Load) -> float:
    """How long to measure at the rate of the nearest trial, for what decided that; at most `LONGEST_S`.

    0 if that was not near its limit: few requests are uncertain, but not by a factor of `_FAR`.
    """
    tried = [trial for trial in study.trials if trial.margin is not None and trial.rps]
    nearest = min(reversed(tried), key=lambda trial: abs(log(trial.load.amount / load.amount)), default=None)
    if nearest is None or not nearest.objective or abs(nearest.margin or 0.0) > log(_FAR):
        return 0.0
    rate = (nearest.rps or 0.0) / nearest.load.amount * load.amount
    return min(ceil(requests_to_tell(nearest.objective) / rate), LONGEST_S)
