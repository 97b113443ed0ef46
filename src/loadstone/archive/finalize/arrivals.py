"""Gathers what the generator of an open model did: how many arrivals it sent, and how late their iterations began.

No worker counts what it was to begin when it was killed, nor what was due between its end and the next epoch. So what
all of them counted is compared with what the rate comes to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadstone.domain.arrival_counts import NO_ARRIVALS, ArrivalCounts
from loadstone.domain.batch import NO_INTENT
from loadstone.domain.expected_arrivals import expected_arrivals
from loadstone.domain.lateness import Lateness
from loadstone.domain.time import NS_PER_MS, NS_PER_S, NS_PER_US
from loadstone.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadstone.archive.finalize.blocks import Block
    from loadstone.archive.lifecycle import Lifecycle
    from loadstone.domain.batch import Batch
    from loadstone.domain.expected_arrivals import Expected
    from loadstone.domain.facts import Window

__all__ = ["ArrivalTotals", "WindowLateness", "expected_until"]


class ArrivalTotals:
    """The arrivals of the window and of the run, from the running totals of each incarnation.

    Nothing arrives before the schedule begins, at ``schedule_ns``, nor after the window, which ends when users are
    stopped. After a warm-up, those between two batches are divided where the window begins. Clocks are the stream
    server's.
    """

    def __init__(self, window_start_ns: int, schedule_ns: int | None) -> None:
        self._start_ns = window_start_ns
        self._schedule_ns = schedule_ns or 0
        self._before: dict[str, _Total] = {}
        self._after: dict[str, _Total] = {}
        self._newest: dict[str, ArrivalCounts] = {}

    def take(self, batch: Batch) -> None:
        """Take in a batch."""
        if batch.arrivals is None:
            return
        at_ns = batch.sent_ns - round((batch.clock_offset_ms or 0.0) * NS_PER_MS)
        incarnation, total = batch.incarnation, _Total(at_ns, batch.arrivals)
        self._newest[incarnation] = max(self._newest.get(incarnation, NO_ARRIVALS), batch.arrivals)
        if at_ns < self._start_ns:
            self._before[incarnation] = max(self._before.get(incarnation, total), total)
        else:
            self._after[incarnation] = min(self._after.get(incarnation, total), total)

    @property
    def window(self) -> ArrivalCounts:
        """Those of the window."""
        return _sum(newest.since(self._before_window(incarnation)) for incarnation, newest in self._newest.items())

    @property
    def run(self) -> ArrivalCounts:
        """Those of the whole run, as far as workers could tell."""
        return _sum(self._newest.values())

    def _before_window(self, incarnation: str) -> ArrivalCounts:
        before, after = self._before.get(incarnation), self._after.get(incarnation)
        if before is None:
            return NO_ARRIVALS
        if after is None:
            return before.counts
        since_ns = max(before.at_ns, self._schedule_ns)
        share = max(0, self._start_ns - since_ns) / max(1, after.at_ns - since_ns)
        counts = [
            early + round(share * (late - early))
            for early, late in zip(before.counts[1:], after.counts[1:], strict=True)
        ]
        return ArrivalCounts(sum(counts), *counts)


def expected_until(end_ns: int, lifecycle: Lifecycle, start_ns: int | None = None) -> Expected | None:
    """What the rate comes to between two times of the master's clock (ns), or since the schedule began.

    None where rate or schedule are not known.
    """
    identity, zero_ns = lifecycle.identity, lifecycle.schedule_ns
    if zero_ns is None or not identity.rate:
        return None
    zero_ns += round((lifecycle.clock_offsets.value or 0.0) * NS_PER_MS)
    from_s = 0.0 if start_ns is None else (start_ns - zero_ns) / NS_PER_S
    to_s = (end_ns - zero_ns) / NS_PER_S
    try:
        return expected_arrivals(identity.rate, identity.arrivals, lifecycle.arrival_workers, from_s, to_s)
    except SettingsError:  # of a master of another version, where stages are written in another way
        return None


class _Total(NamedTuple):
    at_ns: int
    counts: ArrivalCounts


def _sum(counts: Iterable[ArrivalCounts]) -> ArrivalCounts:
    total = NO_ARRIVALS
    for each in counts:
        total = total.plus(each)
    return total


class WindowLateness:
    """How late iterations began: ``run`` of all of them, ``window`` of those that objectives judge.

    These are the ones whose first request was sent before the end of the window and ended after its beginning: their
    response times are among those of the window, or of the requests in flight at its end.
    """

    def __init__(self, window: Window) -> None:
        self.window = Lateness()
        self.run = Lateness()
        self._window = window

    def take(self, block: Block) -> None:
        """Take in the samples of a block."""
        first = block.late_us > NO_INTENT
        sent_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
        self.run.add(block.late_us[first])
        self.window.add(
            block.late_us[first & (block.end_ns >= self._window.start_ns) & (sent_ns < self._window.end_ns)]
        )
