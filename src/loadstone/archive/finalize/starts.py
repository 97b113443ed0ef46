"""Gathers when the requests of a closed run's window began, and finds what its users did not send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.omission import Omission, Starts, omission
from loadstone.domain.pause import TIMES_USUAL
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
_MOST_TICKS: Final = 100_000
"""So windows of up to 1.4 hours have the shortest ticks, and no window takes more than 5 MB."""
_LONG_TICKS: Final = 2
"""A request that takes so many ticks keeps its user from sending in at least one of them."""
_NEVER: Final = np.iinfo(np.int64).max


class StartsInWindow:
    """Counts the requests that began in a window by ticks, with the first and the last one of each tick.

    A request takes unusually long if it takes at least two ticks, and three times the median of its name in its block.
    """

    def __init__(self, window: Window) -> None:
        length_ns = max(0, window.end_ns - window.start_ns)
        self._tick_ns = max(_SHORTEST_TICK_NS, -(-length_ns // _MOST_TICKS))
        self._window = window
        ticks = -(-length_ns // self._tick_ns)
        zeros = np.zeros(ticks, np.int64)
        self._starts = Starts(zeros, zeros.copy(), np.full(ticks, _NEVER), zeros.copy(), zeros - 1, zeros.copy())
        self._waiting_more = np.zeros(ticks + 1, np.int64)

    def take(self, block: Block) -> None:
        """Take in the samples of a block that have a duration."""
        start_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
        usual_us = _medians(block.name_id, block.duration_us)
        self._take(start_ns, block.duration_us, block.duration_us >= TIMES_USUAL * usual_us)

    def take_cut(self, cut: Iterable[CutRequest]) -> None:
        """Take in requests that were cut off: they took at least as long as until then."""
        found = [(each.start_ns, each.age_us) for each in cut]
        if found:
            start_ns, age_us = np.array(found, np.int64).T
            self._take(start_ns, age_us, np.ones(len(found), np.bool_))

    def omission(self, users: UserSeconds, stalls: Iterable[Stall]) -> Omission | None:
        """What users did not send, leaving out the time in which any worker stood still."""
        edges_ns = self._window.start_ns + np.arange(len(self._starts.n) + 1) * self._tick_ns
        user_seconds = np.maximum(np.diff(users.until(edges_ns)), 0.0)
        for span in spans_of(stalls):
            if span.end_ns >= self._window.start_ns:
                user_seconds[self._tick_of(span.begin_ns) : self._tick_of(span.end_ns) + 1] = 0
        waiting = np.cumsum(self._waiting_more)[: len(self._starts.n)]
        return omission(self._starts._replace(waiting=waiting), user_seconds, self._tick_ns)

    def _tick_of(self, at_ns: int) -> int:
        return max(0, (at_ns - self._window.start_ns) // self._tick_ns)

    def _take(self, start_ns: NDArray[np.int64], duration_us: NDArray[np.int64], unusual: NDArray[np.bool_]) -> None:
        window, ticks = self._window, len(self._starts.n)
        timed = (duration_us >= 0) & (start_ns < window.end_ns)
        long = np.flatnonzero(timed & unusual & (duration_us >= _LONG_TICKS * self._tick_ns // NS_PER_US))
        for edge_ns, change in ((start_ns[long], 1), (start_ns[long] + duration_us[long] * NS_PER_US, -1)):
            at = np.clip((edge_ns - window.start_ns) // self._tick_ns, 0, ticks)
            self._waiting_more += change * np.bincount(at, minlength=ticks + 1)
        inside = np.flatnonzero(timed & (start_ns >= window.start_ns))
        order = inside[np.argsort(start_ns[inside], kind="stable")]
        at_ns, took_us = start_ns[order] - window.start_ns, duration_us[order]
        tick, first, count = np.unique(at_ns // self._tick_ns, return_index=True, return_counts=True)
        self._starts.n[tick] += count
        self._keep(tick, at_ns[first], took_us[first])
        self._keep(tick, at_ns[first + count - 1], took_us[first + count - 1])

    def _keep(self, tick: NDArray[np.int64], at_ns: NDArray[np.int64], took_us: NDArray[np.int64]) -> None:
        """Remember these requests where they are the first or the last of their ticks."""
        starts = self._starts
        earlier, later = at_ns < starts.first_ns[tick], at_ns > starts.last_ns[tick]
        starts.first_ns[tick[earlier]], starts.first_us[tick[earlier]] = at_ns[earlier], took_us[earlier]
        starts.last_ns[tick[later]], starts.last_us[tick[later]] = at_ns[later], took_us[later]


def _medians(names: NDArray[np.int64], duration_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each sample the median duration of its name; those without a duration count as negative ones."""
    order = np.lexsort((duration_us, names))
    _, first, which, count = np.unique(names[order], return_index=True, return_inverse=True, return_counts=True)
    medians = np.empty_like(duration_us)
    medians[order] = duration_us[order][first + (count - 1) // 2][which]
    return medians
