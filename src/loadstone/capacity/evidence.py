"""Evidence: what the trials of a study have shown so far, and what follows for what was tried.

What is tried is a setting of the target, or a number of users. The *margin* of a trial is the largest ln(value / limit)
over its objectives: negative means that all of them hold. Its standard error comes from within the trial (block
bootstrap). Trials of the same thing differ by more than that, from run to run; this variance is pooled over all that
was tried more than once. Memory that runs out, or a target that crashes, is no matter of statistics: once is proof
enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import sqrt
from statistics import fmean, median
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from loadstone.capacity.grid import Point

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["Evidence", "Finding", "Observation", "Rules", "SettingEvidence", "SettingObservation"]

_PRIOR_RUNS: Final = 4
"""How many repeated trials the assumed variance between runs weighs as much as."""
_NEAR: Final = 0.7
"""What misses an objective by more than its double varies more. How much by is of no use: it counts as this much."""
_FEW: Final = 2
"""Up to so many margins are averaged; of more, the median ignores the one trial that went wrong unnoticed."""


class Finding(StrEnum):
    """What is known about what was tried."""

    HOLDS = "holds"
    FAILS = "fails"
    BREAKS = "breaks"
    """A replica ran out of memory, or the target crashed."""
    UNDECIDED = "undecided"
    """After as many trials as are allowed its margin is still too close to zero to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One valid trial. ``margin`` is None if the target broke; see the module's docstring."""

    margin: float | None
    margin_se: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingObservation(Observation):
    """One valid trial of a setting, with what its replicas used.

    ``cpu_cores`` is the mean use of one replica, ``peak_mem_bytes`` the highest working set of one, and
    ``idle_mem_bytes`` what it held before the load; each None where nobody measured it.
    """

    cpu_cores: float | None
    peak_mem_bytes: int | None
    idle_mem_bytes: int | None


K = TypeVar("K", bound="Hashable")
Seen = TypeVar("Seen", bound=Observation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How much evidence is enough; the values were tuned by simulation (tests/bench/capacity).

    ``sure`` and ``sure_at_once``: how many standard errors a margin must be from zero, in general and after a single
    trial. ``most_trials`` of one setting. ``between_runs_sd``: the standard deviation between runs that is assumed
    until it is measured. ``passes`` and ``fails``: how many trials prove that a setting holds, or that it does not.
    """

    sure: float = 1.8
    sure_at_once: float = 2.5
    most_trials: int = 5
    between_runs_sd: float = 0.08
    passes: int = 3
    fails: int = 3


@dataclass(slots=True)
class Evidence(Generic[K, Seen]):
    """All observations of a study, by what was tried."""

    rules: Rules
    observations: dict[K, list[Seen]] = field(default_factory=dict)

    def add(self, tried: K, observation: Seen) -> None:
        """Take one more trial into account."""
        self.observations.setdefault(tried, []).append(observation)

    def of(self, tried: K) -> Sequence[Seen]:
        """What was observed."""
        return self.observations.get(tried, ())

    def margins(self, tried: K) -> list[float]:
        """The margins of its trials in which the target did not break."""
        return [each.margin for each in self.of(tried) if each.margin is not None]

    def between_runs_variance(self) -> float:
        """The variance of the margin from run to run, beyond what is seen within the runs."""
        total, weight = _PRIOR_RUNS * self.rules.between_runs_sd**2, float(_PRIOR_RUNS)
        for tried in self.observations:
            margins = _without_far(self.margins(tried))
            if len(margins) > 1 and median(margins) < _NEAR:
                total += max(_variance(margins) - self._within_variance(tried), 0.0) * (len(margins) - 1)
                weight += len(margins) - 1
        return total / weight

    def margin(self, asked: K) -> tuple[float, float, int] | None:
        """The margin, its standard error, and from how many trials; None without one that shows it."""
        seen = [each for tried in self.observations if self._tells(tried, asked) for each in self.observations[tried]]
        margins = [each.margin for each in seen if each.margin is not None]
        if not margins:
            return None
        within = fmean(each.margin_se**2 for each in seen if each.margin is not None)
        spread = self.between_runs_variance() + within
        if len(margins) <= _FEW:
            return fmean(margins), sqrt(spread / len(margins)), len(margins)
        return median(margins), sqrt(max(spread, _variance(margins)) / len(margins)), len(margins)

    def finding(self, asked: K, *, passes: int = 1, fails: int = 1) -> Finding | None:
        """What is known; None if trials are missing: ``passes`` of its own to hold, ``fails`` to fail."""
        if any(each.margin is None for each in self.of(asked)):
            return Finding.BREAKS
        estimate, own = self.margin(asked), len(self.of(asked))
        if estimate is None:
            return None
        margin, se, trials = estimate
        enough = (self.rules.sure_at_once if trials == 1 else self.rules.sure) * se
        if margin < -enough and own >= passes:
            return Finding.HOLDS
        if margin > enough and trials >= fails:
            return Finding.FAILS
        return Finding.UNDECIDED if own >= self.rules.most_trials else None

    def _tells(self, tried: K, asked: K) -> bool:
        """Whether trials of one thing show the margin of another."""
        return tried == asked

    def _within_variance(self, tried: K) -> float:
        return fmean(each.margin_se**2 for each in self.of(tried) if each.margin is not None)


@dataclass(slots=True)
class SettingEvidence(Evidence[Point, SettingObservation]):
    """All observations of a study of settings, by point of its grid.

    Trials of the same CPU and replicas with more memory count too: memory that suffices does not change latency.
    """

    def cpu_cores(self, point: Point) -> float | None:
        """The median use of one replica; None if it is not known, or every trial ran out of memory."""
        used = [each.cpu_cores for each in self.of(point) if each.margin is not None and each.cpu_cores is not None]
        return median(used) if used else None

    def peak_mem_bytes(self, point: Point) -> int | None:
        """The highest working set of one replica over all trials; None if it is not known."""
        return max(self._peaks(point), default=None)

    def usual_peak_mem_bytes(self, point: Point) -> float | None:
        """The median of the trials' highest working sets; None if it is not known."""
        peaks = self._peaks(point)
        return median(peaks) if peaks else None

    def _peaks(self, point: Point) -> list[int]:
        return [each.peak_mem_bytes for each in self.of(point) if each.peak_mem_bytes is not None]

    def _tells(self, tried: Point, asked: Point) -> bool:
        return tried.cpu == asked.cpu and tried.replicas == asked.replicas and tried.mem >= asked.mem


def _without_far(margins: Sequence[float]) -> list[float]:
    return [min(margin, _NEAR) for margin in margins]


def _variance(values: Sequence[float]) -> float:
    """The sample variance; `statistics.variance` computes with fractions, which takes a hundred times as long."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
