"""Requests in flight: sent by users in the window, but not answered in it.

A request that ended after the window counts as slow as it turned out to be. One that was cut off counts as at least as
slow as it was then, and as a failure if it had waited for the stop timeout and longer than any answered request of its
name. None of them is among the answered requests: they may raise a latency or a number of failures, and lower neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadstone.domain.rollup import Rollup, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadstone.domain.request_name import RequestName

__all__ = ["InFlight", "figure_us", "percentiles_us"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """The requests in flight at the end of the window, and those that were cut off in it.

    ``names``: per request name; only those that count as failures are counted as failed there. ``ended_later`` of them
    ended after the window, ``cut`` were cut off. ``undecided`` of those had waited for the stop timeout, but no longer
    than an answered one. ``stuck`` users were cut off inside a task without a request that is known.
    """

    names: Mapping[RequestName, Rollup] = field(default_factory=dict)
    ended_later: int = 0
    cut: int = 0
    undecided: int = 0
    stuck: int = 0

    @property
    def total(self) -> Rollup:
        """All of them together."""
        return merged(self.names.values())

    @property
    def failed(self) -> int:
        """How many count as failures."""
        return sum(rollup.err for rollup in self.names.values())


def figure_us(answered: Rollup, in_flight: Rollup, figure: Callable[[Rollup], float]) -> float:
    """A figure of durations: of the answered requests, or with those in flight if that is more."""
    if not in_flight.timed:
        return figure(answered)
    with_all = figure(merged((answered, in_flight)))
    return max(figure(answered), with_all) if answered.timed else with_all


def percentiles_us(answered: Rollup, in_flight: Rollup, percents: tuple[float, ...]) -> list[float]:
    """The durations at some percentiles (0-100), each as `figure_us`."""
    of_answered = answered.percentiles_us(percents)
    if not in_flight.timed:
        return of_answered
    with_all = merged((answered, in_flight)).percentiles_us(percents)
    return [max(pair) for pair in zip(of_answered, with_all, strict=True)] if answered.timed else with_all
