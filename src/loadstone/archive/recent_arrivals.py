"""RecentArrivals: at which rate iterations of an open model have begun in the last ten seconds, and how late.

Workers tell running totals. Memory is bounded by ten seconds of batches for each incarnation.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.lateness import Lateness
from loadstone.domain.time import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Collection

    from loadstone.domain.arrival_counts import ArrivalCounts
    from loadstone.domain.batch import Batch

__all__ = ["ArrivalRates", "RecentArrivals"]

_KEPT_NS: Final = 10 * NS_PER_S


class ArrivalRates(NamedTuple):
    """Arrivals per second that were planned and that were sent, and the 99th percentile of how late these began.

    The lateness is None where no iteration began.
    """

    planned_rps: float
    sent_rps: float
    lateness_p99_ms: float | None


class _Told(NamedTuple):
    """What one batch said; ``at_ns`` is by the stream server's clock."""

    at_ns: int
    counts: ArrivalCounts
    lateness: Lateness


class RecentArrivals:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._told: dict[str, deque[_Told]] = {}

    def apply(self, batch: Batch) -> None:
        """Take in the newest batch of an incarnation."""
        if batch.arrivals is None:
            return
        at_ns = batch.sent_ns - round((batch.clock_offset_ms or 0.0) * NS_PER_MS)
        told = self._told.setdefault(batch.incarnation, deque())
        told.append(_Told(at_ns, batch.arrivals, Lateness.of_requests(batch.columns.late_us)))
        while len(told) > 1 and told[1].at_ns <= at_ns - _KEPT_NS:
            told.popleft()

    def rates(self, live: Collection[str], schedule_ns: int) -> ArrivalRates | None:
        """Those of the ``live`` incarnations together, or of all where none is; None under the closed model.

        Nothing arrives before ``schedule_ns`` (stream server's clock).
        """
        if not self._told:
            return None
        lateness, planned_rps, sent_rps = Lateness(), 0.0, 0.0
        for incarnation in self._told.keys() & live or self._told.keys():
            first, *others = self._told[incarnation]
            if not others:
                continue
            newest = others[-1]
            seconds = max(1, newest.at_ns - max(first.at_ns, schedule_ns)) / NS_PER_S
            grown = newest.counts.since(first.counts)
            planned_rps += grown.planned / seconds
            sent_rps += grown.sent / seconds
            for each in others:
                lateness.merge(each.lateness)
        return ArrivalRates(planned_rps, sent_rps, lateness.p99_ms)
