"""Gathers when the requests of a closed run's window began, and finds what its users did not send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.omission import LONG_TICKS, Omission, Starts, omission
from loadstone.domain.stall import TICK_US, spans_of
from loadstone.domain.time import NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.archive.finalize.pauses import UserSeconds
    from loadstone.domain.cut import CutRequest
    from loadstone.domain.facts import Window
    from loadstone.domain.stall import Stall

__all__ = ["StartsInWindow"]

_SHORTEST_TICK_NS: Final = TICK_US * NS_PER_US
_MOST_TICKS: Final = 200_000
"""So windows of up to 2.7 hours have the shortest ticks, and no window takes more than 10 MB."""
_NEVER: Final = np.iinfo(np.int64).max


class StartsInWindow:
    """Counts the requests that began in a window by ticks, with the first and the last one of each tick."""

    def __init__(self, window: Window) -> None:
        length_ns = max(0, window.end_ns - window.start_ns)
        self._tick_ns = max(_SHORTEST_TICK_NS, -(-length_ns // _MOST_TICKS))
        self._window = window
        ticks = -(-length_ns // self._tick_ns)
        zeros = np.zeros(ticks, np.int64)
        never = np.full(ticks, _NEVER)
        self._starts = Starts(zeros, zeros.copy(), never, zeros.copy(), zeros - 1, zeros.copy())

    def take(self, block: Block) -> None:
        """Take in the samples of a block that have a duration."""
        self._take(block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US, block.duration_us)

    def take_cut(self, cut: Iterable[CutRequest]) -> None:
        """Take in requests that were cut off: they took at least as long as until then."""
        found = [(each.start_ns, each.age_us) for each in cut]
        if found:
            start_ns, age_us = np.array(found, np.int64).T
            self._take(start_ns, age_us)

    def omission(self, users: UserSeconds, stalls: Iterable[Stall]) -> Omission | None:
        """What users did not send, leaving out the time in which any worker stood still."""
        edges_ns = self._window.start_ns + np.arange(len(self._starts.n) + 1) * self._tick_ns
        user_seconds = np.diff(users.until(edges_ns))
        for span in spans_of(stalls):
            user_seconds[self._ticks(span.begin_ns) : self._ticks(span.end_ns) + 1] = 0
        return omission(self._starts, user_seconds, self._tick_ns)

    def _ticks(self, at_ns: int) -> int:
        return max(0, (at_ns - self._window.start_ns) // self._tick_ns)

    def _take(self, start_ns: NDArray[np.int64], duration_us: NDArray[np.int64]) -> None:
        inside = (duration_us >= 0) & (start_ns >= self._window.start_ns) & (start_ns < self._window.end_ns)
        at_ns, took_us = start_ns[inside] - self._window.start_ns, duration_us[inside]
        order = np.argsort(at_ns, kind="stable")
        at_ns, took_us = at_ns[order], took_us[order]
        tick, first, count = np.unique(at_ns // self._tick_ns, return_index=True, return_counts=True)
        self._starts.n[tick] += count
        is_long = took_us >= LONG_TICKS * self._tick_ns // NS_PER_US
        self._starts.long[tick] += np.add.reduceat(is_long, first) if len(first) else 0
        self._keep(tick, at_ns[first], took_us[first])
        self._keep(tick, at_ns[first + count - 1], took_us[first + count - 1])

    def _keep(self, tick: NDArray[np.int64], at_ns: NDArray[np.int64], took_us: NDArray[np.int64]) -> None:
        """Remember these requests where they are the first or the last of their ticks."""
        starts = self._starts
        earlier, later = at_ns < starts.first_ns[tick], at_ns > starts.last_ns[tick]
        starts.first_ns[tick[earlier]], starts.first_us[tick[earlier]] = at_ns[earlier], took_us[earlier]
        starts.last_ns[tick[later]], starts.last_us[tick[later]] = at_ns[later], took_us[later]
