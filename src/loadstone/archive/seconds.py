"""Seconds: rollups second by second in ascending order, and what becomes of them when a second is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.rollup import Rollup, merged, roll_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadstone.archive.block import Block
    from loadstone.domain.window import Window

    Sink = Callable[[int, dict[int, Rollup]], None]

__all__ = ["Seconds"]

_NS: Final = 1_000_000_000


class Seconds:
    """Rolls blocks up and hands each complete second to ``sinks``, in ascending order.

    ``totals``: name id to rollup of the whole run. ``window_totals``: the same of the samples that ended in the window,
    exactly, also where the window begins or ends in the middle of a second.
    """

    def __init__(self, window: Window, sinks: Iterable[Sink]) -> None:
        self.totals: dict[int, Rollup] = {}
        self.window_totals: dict[int, Rollup] = {}
        self._window = window
        self._sinks = tuple(sinks)
        self._open: dict[int, dict[int, Rollup]] = {}
        self._edges = {window.start_ns // _NS, window.end_ns // _NS}

    def take(self, block: Block) -> None:
        """Roll up the samples of a block."""
        for (second, name), rollup in roll_up(
            block.second, block.name_id, block.duration_us, block.bytes, block.failed
        ).items():
            names = self._open.setdefault(second, {})
            if name in names:
                names[name].merge(rollup)
            else:
                names[name] = rollup
        self._take_edges(block)

    def complete(self, before_second: int) -> None:
        """Hand out every second before this one; no sample of them may come any more."""
        for second in sorted(second for second in self._open if second < before_second):
            rollups = self._open.pop(second)
            inside = second not in self._edges and second * _NS in self._window
            for name, rollup in rollups.items():
                self.totals.setdefault(name, Rollup()).merge(rollup)
                if inside:
                    self.window_totals.setdefault(name, Rollup()).merge(rollup)
            for sink in self._sinks:
                sink(second, rollups)

    @property
    def total(self) -> Rollup:
        """All samples handed out so far."""
        return merged(self.totals.values())

    def _take_edges(self, block: Block) -> None:
        """The seconds in which the window begins and ends are cut to the nanosecond."""
        inside = (block.end_ns >= self._window.start_ns) & (block.end_ns < self._window.end_ns)
        at = np.flatnonzero(inside & np.isin(block.second, list(self._edges)))
        cut = (block.duration_us[at], block.bytes[at], block.failed[at])
        for (_, name), rollup in roll_up(np.zeros(len(at), np.int64), block.name_id[at], *cut).items():
            self.window_totals.setdefault(name, Rollup()).merge(rollup)
