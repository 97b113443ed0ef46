"""Arrivals: at which moments each worker begins an iteration under the open model.

There is one schedule for a run: a rate over time, how arrivals are spread (`Spread`), and a seed. It is shared out
among workers in *epochs*: each begins at a moment of the schedule with a roster of workers, and ends where the next
one begins. The arrivals of one worker are a function of the schedule, the epoch and its place in the roster alone, so
anybody can compute them again, and no arrival has two owners.

- *Constant*: arrival k of the run is due when the rate has come to k arrivals; worker i of n owns those with
  k mod n = i. All workers together are evenly spaced.
- *Poisson*: each worker has a stream of its own, with a rate of 1/n. Together they are a Poisson process of the whole
  rate, exactly, and one that does not remember what was before an epoch.
"""

from __future__ import annotations

from enum import StrEnum
from math import ceil, inf
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from loadstone.domain.arrival_rate import RateCurve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.arrival_rate import Stage

__all__ = ["Epoch", "Schedule", "Spread"]


class Spread(StrEnum):
    """How arrivals are spread in time."""

    POISSON = "poisson"
    CONSTANT = "constant"


class Epoch(NamedTuple):
    """From ``begins_s`` of the schedule on, ``workers`` share it; epochs are numbered from 0."""

    number: int
    begins_s: float
    workers: int


class Schedule:
    """The arrivals of a run. Times are seconds since it began; rates are per second."""

    def __init__(self, stages: Sequence[Stage], spread: Spread, seed: int) -> None:
        self.curve = RateCurve(stages)
        self._spread = spread
        self._seed = seed

    def arrivals(self, epoch: Epoch, place: int) -> Iterator[float]:
        """When the worker at a place of the roster (from 0) begins iterations, ascending; it may never end."""
        return self._constant(epoch, place) if self._spread is Spread.CONSTANT else self._poisson(epoch, place)

    def choices(self, epoch: Epoch, place: int) -> Random:
        """What decides which class of users begins each of these iterations."""
        return self._random(epoch, place, "classes")

    def _constant(self, epoch: Epoch, place: int) -> Iterator[float]:
        when, step = self.curve.when, epoch.workers
        first = max(0, ceil(self.curve.total(epoch.begins_s)) - 1)
        number = first + (place - first) % step
        while (due_s := when(number)) < inf:
            # Sums are rounded: an arrival belongs to the epoch in which it is due, by the same figure in both.
            if due_s >= epoch.begins_s:
                yield due_s
            number += step

    def _poisson(self, epoch: Epoch, place: int) -> Iterator[float]:
        when, step = self.curve.when, epoch.workers
        gap = self._random(epoch, place, "arrivals").expovariate
        total = self.curve.total(epoch.begins_s)
        while (due_s := when(total := total + step * gap(1.0))) < inf:
            yield due_s

    def _random(self, epoch: Epoch, place: int, purpose: str) -> Random:
        return Random(f"{self._seed}:{epoch.number}:{place}:{purpose}")  # noqa: S311  (no secret)
