"""Evidence: what the trials of a study have shown so far, and what follows for one setting.

The *margin* of a trial is the largest ln(value / limit) over its objectives: negative means that all of them hold. Its
standard error comes from within the trial (block bootstrap). Trials of the same setting differ by more than that, from
run to run; this variance is pooled over all settings that were tried more than once. Memory that runs out is no matter
of statistics: one kill is proof enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import sqrt
from statistics import fmean, median, variance
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.capacity.grid import Point

__all__ = ["Evidence", "Finding", "Observation", "Rules"]

_PRIOR_RUNS: Final = 4
"""How many repeated trials the assumed variance between runs weighs as much as."""
_NEAR: Final = 0.7
"""Settings that miss an objective by more than its double vary more, and do not count for the others."""
_FEW: Final = 2
"""Up to so many margins are averaged; of more, the median ignores the one trial that went wrong unnoticed."""


class Finding(StrEnum):
    """What is known about a setting."""

    HOLDS = "holds"
    FAILS = "fails"
    OUT_OF_MEMORY = "out of memory"
    UNDECIDED = "undecided"
    """After as many trials as are allowed its margin is still too close to zero to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One valid trial. ``margin`` is None if a replica ran out of memory; see the module's docstring.

    ``cpu_cores`` is the mean use of one replica, ``peak_mem_bytes`` the highest working set of one, and
    ``idle_mem_bytes`` what it held before the load.
    """

    margin: float | None
    margin_se: float
    cpu_cores: float
    peak_mem_bytes: int
    idle_mem_bytes: int


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
class Evidence:
    """All observations of a study, by point of its grid."""

    rules: Rules
    observations: dict[Point, list[Observation]] = field(default_factory=dict)

    def add(self, point: Point, observation: Observation) -> None:
        """Take one more trial into account."""
        self.observations.setdefault(point, []).append(observation)

    def of(self, point: Point) -> Sequence[Observation]:
        """What was observed at a point."""
        return self.observations.get(point, ())

    def margins(self, point: Point) -> list[float]:
        """The margins of its trials that did not run out of memory."""
        return [each.margin for each in self.of(point) if each.margin is not None]

    def between_runs_variance(self) -> float:
        """The variance of the margin from run to run, beyond what is seen within the runs."""
        total, weight = _PRIOR_RUNS * self.rules.between_runs_sd**2, float(_PRIOR_RUNS)
        for point in self.observations:
            margins = self.margins(point)
            if len(margins) > 1 and median(margins) < _NEAR:
                total += max(variance(margins) - self._within_variance(point), 0.0) * (len(margins) - 1)
                weight += len(margins) - 1
        return total / weight

    def margin(self, point: Point) -> tuple[float, float, int] | None:
        """The margin of a setting, its standard error, and from how many trials; None without one that shows it.

        Trials of the same CPU and replicas with more memory count too: memory that suffices does not change latency.
        """
        seen = [each for other in self.observations if _tells_of(other, point) for each in self.observations[other]]
        margins = [each.margin for each in seen if each.margin is not None]
        if not margins:
            return None
        within = fmean(each.margin_se**2 for each in seen if each.margin is not None)
        spread = self.between_runs_variance() + within
        if len(margins) <= _FEW:
            return fmean(margins), sqrt(spread / len(margins)), len(margins)
        return median(margins), sqrt(max(spread, variance(margins)) / len(margins)), len(margins)

    def finding(self, point: Point, *, passes: int = 1, fails: int = 1) -> Finding | None:
        """What is known of a setting; None if trials are missing: ``passes`` of its own to hold, ``fails`` to fail."""
        if any(each.margin is None for each in self.of(point)):
            return Finding.OUT_OF_MEMORY
        estimate, own = self.margin(point), len(self.of(point))
        if estimate is None:
            return None
        margin, se, trials = estimate
        enough = (self.rules.sure_at_once if trials == 1 else self.rules.sure) * se
        if margin < -enough and own >= passes:
            return Finding.HOLDS
        if margin > enough and trials >= fails:
            return Finding.FAILS
        return Finding.UNDECIDED if own >= self.rules.most_trials else None

    def cpu_cores(self, point: Point) -> float | None:
        """The median use of one replica; None if every trial ran out of memory."""
        used = [each.cpu_cores for each in self.of(point) if each.margin is not None]
        return median(used) if used else None

    def peak_mem_bytes(self, point: Point) -> int:
        """The highest working set of one replica over all trials."""
        return max((each.peak_mem_bytes for each in self.of(point)), default=0)

    def usual_peak_mem_bytes(self, point: Point) -> float:
        """The median of the trials' highest working sets."""
        peaks = [each.peak_mem_bytes for each in self.of(point)]
        return median(peaks) if peaks else 0.0

    def _within_variance(self, point: Point) -> float:
        return fmean(each.margin_se**2 for each in self.of(point) if each.margin is not None)


def _tells_of(other: Point, point: Point) -> bool:
    return other.cpu == point.cpu and other.replicas == point.replicas and other.mem >= point.mem
