"""When the target answered, second by second, and in which parts of the window it answered (nearly) nobody.

Memory is three numbers for each second in which a request ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadstone.domain.pause import LOW_SHARE, SHORTEST_PAUSE_S
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadstone.domain.facts import Window

__all__ = ["Answers", "Quiet"]


class Quiet(NamedTuple):
    """A part of the window between two answers, wall clock, ns; ``answered`` requests ended inside it."""

    start_ns: int
    end_ns: int
    answered: int


class _Second(NamedTuple):
    """The first and the last answer of one second, or of what the window holds of it, and how many there were."""

    first_ns: int
    last_ns: int
    n: int


class Answers:
    """Counts answers by the second in which they came."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}

    def take(self, ends_ns: NDArray[np.int64]) -> None:
        """Take in the ends of the samples of one batch, ascending, at least one."""
        seconds = ends_ns // NS_PER_S
        starts = np.flatnonzero(np.diff(seconds, prepend=seconds[0] - 1))
        stops = np.append(starts[1:], len(ends_ns))
        rows = zip(
            seconds[starts].tolist(),
            ends_ns[starts].tolist(),
            ends_ns[stops - 1].tolist(),
            (stops - starts).tolist(),
            strict=True,
        )
        for second, first_ns, last_ns, n in rows:
            known = self._seconds.get(second)
            if known:
                first_ns, last_ns = min(first_ns, known.first_ns), max(last_ns, known.last_ns)  # noqa: PLW2901
            self._seconds[second] = _Second(first_ns, last_ns, n + (known.n if known else 0))

    def silences(self, window: Window) -> list[Quiet]:
        """The parts of the window without any answer, in ascending order, that are not shorter than a pause may be."""
        return _between(window, self._in(window), [])

    def lulls(self, window: Window) -> list[Quiet]:
        """The same with hardly any answer, by the median of all seconds of the window; none if that is small."""
        inside = self._in(window)
        few = LOW_SHARE * _median([second.n for second in inside], round(window.seconds))
        low = [second for second in inside if second.n <= few]
        return _between(window, [second for second in inside if second.n > few], low) if low else []

    def _in(self, window: Window) -> list[_Second]:
        return [self._seconds[at] for at in sorted(self._seconds) if _overlaps(self._seconds[at], window)]


def _overlaps(second: _Second, window: Window) -> bool:
    return second.last_ns >= window.start_ns and second.first_ns < window.end_ns


def _median(counts: list[int], seconds: int) -> int:
    """The lower median of how many answers came in each of so many seconds; those not listed had none."""
    missing, rank = max(0, seconds - len(counts)), (max(seconds, len(counts)) - 1) // 2
    return 0 if rank < missing or not counts else sorted(counts)[rank - missing]


def _between(window: Window, busy: list[_Second], low: list[_Second]) -> list[Quiet]:
    """The parts of the window between busy seconds, with the answers of the low ones inside them."""
    last_ns = [window.start_ns, *(min(second.last_ns, window.end_ns) for second in busy)]
    first_ns = [*(max(second.first_ns, window.start_ns) for second in busy), window.end_ns]
    found, at = [], 0
    for start_ns, end_ns in zip(last_ns, first_ns, strict=True):
        answered = 0
        while at < len(low) and low[at].first_ns < end_ns:
            answered += low[at].n
            at += 1
        if end_ns - start_ns >= SHORTEST_PAUSE_S * NS_PER_S:
            found.append(Quiet(start_ns, end_ns, answered))
    return found
