"""Stall: a while in which a worker's event loop stood still, and what it can have done to requests in flight.

A request that was in flight during a stall can have been lengthened by at most the part of the stall that it spans. The
durations less that part are those of an *undisturbed* generator, as short as they can have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.domain.limits import Duration, Moment  # noqa: TC001  (msgspec reads annotations when it runs)
from loadstone.domain.time import NS_PER_S, NS_PER_US, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "FAILING_STALL_US",
    "MISSED_NS",
    "STALL_US",
    "TICK_US",
    "Span",
    "Stall",
    "Stalled",
    "common_spans",
    "spans_of",
    "without_overlaps",
]

TICK_US: Final = 50_000
"""Time between two measurements of an event loop's lag."""
STALL_US: Final = 100_000
"""An event loop that is later than this stood still."""
MISSED_NS: Final = 2 * NS_PER_S
"""The master reports users, and usage is sampled, once a second: after this long a tick is missing."""
FAILING_STALL_US: Final = US_PER_S
"""A stall at least this long can have made requests fail: clients time out, servers close idle connections."""


class Stall(NamedTuple):
    """One stall. ``end_ns``: when the loop ran again, by the clock of the samples. ``length_us``: how late it was.

    ``suspended_us`` of it the machine itself was suspended; the monotonic clock, which measures durations, stood still
    with it.
    """

    end_ns: Moment
    length_us: Duration
    suspended_us: Duration

    @property
    def begin_ns(self) -> int:
        """The earliest moment at which it can have begun: after the last measurement before it."""
        return self.end_ns - (self.length_us - self.suspended_us + TICK_US) * NS_PER_US


class Span(NamedTuple):
    """From ``begin_ns`` to ``end_ns``."""

    begin_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.begin_ns


def spans_of(stalls: Iterable[Stall]) -> list[Span]:
    """The stalls as spans, ascending and without overlaps."""
    return without_overlaps(Span(stall.begin_ns, stall.end_ns) for stall in stalls)


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that ascend and do not overlap."""
    merged: list[Span] = []
    for begin_ns, end_ns in sorted(spans):
        if merged and begin_ns <= merged[-1].end_ns:
            merged[-1] = Span(merged[-1].begin_ns, max(merged[-1].end_ns, end_ns))
        else:
            merged.append(Span(begin_ns, end_ns))
    return merged


def common_spans(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Where spans of both overlap; each of the two ascends and has no overlaps of its own."""
    common, at, other = [], 0, 0
    while at < len(first) and other < len(second):
        a, b = first[at], second[other]
        both = Span(max(a.begin_ns, b.begin_ns), min(a.end_ns, b.end_ns))
        if both.begin_ns < both.end_ns:
            common.append(both)
        if a.end_ns <= b.end_ns:
            at += 1
        else:
            other += 1
    return common


class Stalled:
    """How long one incarnation stood still between any two moments."""

    def __init__(self, stalls: Iterable[Stall]) -> None:
        spans = spans_of(stalls)
        self._from_ns = spans[0].begin_ns if spans else 0
        edges = [edge - self._from_ns for span in spans for edge in span]
        self._edges = np.array(edges or [0], np.float64)
        steps = [step for span in spans for step in (0, span.length_ns)]
        self._stalled = np.cumsum(np.array(steps or [0], np.float64))

    def within_us(self, begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Microseconds that it stood still from each ``begin_ns`` to each ``end_ns``; arrays of shape (n,)."""
        return ((self._until_ns(end_ns) - self._until_ns(begin_ns)) // NS_PER_US).astype(np.int64)

    def _until_ns(self, at_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        since = (at_ns - self._from_ns).astype(np.float64)
        return np.interp(since, self._edges, self._stalled)
