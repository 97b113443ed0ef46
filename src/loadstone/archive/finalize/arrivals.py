"""Gathers what the generator of an open model did: how many arrivals it sent, and how late their iterations began."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from loadstone.domain.arrival_counts import NO_ARRIVALS, ArrivalCounts
from loadstone.domain.batch import NO_INTENT
from loadstone.domain.facts import ArrivalFacts
from loadstone.domain.histogram import Histogram
from loadstone.domain.time import NS_PER_US, US_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.batch import Batch
    from loadstone.domain.facts import Window

__all__ = ["ArrivalTotals", "Late", "Lateness"]


class ArrivalTotals:
    """The arrivals of the window and of the run, from the running totals of each incarnation.

    Those of the window are all but those of the newest batch before it: nothing arrives after the window, which ends
    when users are stopped.
    """

    def __init__(self) -> None:
        self._before: dict[str, ArrivalCounts] = {}
        self._newest: dict[str, ArrivalCounts] = {}

    def take(self, batch: Batch, *, early: bool) -> None:
        """Take in a batch; ``early``: it is about the time before the window."""
        if batch.arrivals is None:
            return
        for totals, belongs in ((self._before, early), (self._newest, True)):
            if belongs:
                totals[batch.incarnation] = max(totals.get(batch.incarnation, NO_ARRIVALS), batch.arrivals)

    @property
    def window(self) -> ArrivalCounts:
        """Those of the window."""
        return _sum(
            newest.since(self._before.get(incarnation, NO_ARRIVALS)) for incarnation, newest in self._newest.items()
        )

    @property
    def run(self) -> ArrivalCounts:
        """Those of the whole run, as far as workers could tell."""
        return _sum(self._newest.values())


def _sum(counts: Iterable[ArrivalCounts]) -> ArrivalCounts:
    total = NO_ARRIVALS
    for each in counts:
        total = total.plus(each)
    return total


@dataclass(slots=True)
class Late:
    """How late some iterations began."""

    histogram: Histogram = field(default_factory=Histogram)
    max_us: int = 0

    def add(self, late_us: NDArray[np.int64]) -> None:
        """Count in iterations that began so late, microseconds."""
        if len(late_us):
            self.histogram.merge(Histogram.of(late_us))
            self.max_us = max(self.max_us, int(late_us.max()))

    def facts(self, counts: ArrivalCounts) -> ArrivalFacts:
        """Together with how many arrivals there were; None for lateness where no iteration began."""
        known = bool(self.histogram.counts)
        p99_us = min(self.histogram.percentile_us(99), self.max_us)
        return ArrivalFacts(
            *counts,
            lateness_p99_ms=p99_us / US_PER_MS if known else None,
            lateness_max_ms=self.max_us / US_PER_MS if known else None,
        )


class Lateness:
    """How late iterations began: ``run`` of all of them, ``window`` of those that objectives judge.

    These are the ones whose first request was sent before the end of the window and ended after its beginning: their
    response times are among those of the window, or of the requests in flight at its end.
    """

    def __init__(self, window: Window) -> None:
        self.window = Late()
        self.run = Late()
        self._window = window

    def take(self, block: Block) -> None:
        """Take in the samples of a block."""
        first = block.late_us > NO_INTENT
        sent_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
        self.run.add(block.late_us[first])
        self.window.add(
            block.late_us[first & (block.end_ns >= self._window.start_ns) & (sent_ns < self._window.end_ns)]
        )
