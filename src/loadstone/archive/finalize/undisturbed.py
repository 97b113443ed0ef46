"""What the window would have looked like at best if no worker had ever stood still (see `loadstone.domain.stall`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadstone.domain.rollup import Rollup, response_us, roll_up
from loadstone.domain.stall import FAILING_STALL_US, Stalled
from loadstone.domain.time import NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.facts import Window
    from loadstone.domain.stall import Stall

__all__ = ["Best", "Undisturbed"]


class Best(NamedTuple):
    """Service times and lateness, microseconds, as in a block, and which samples failed; all of shape (n,)."""

    duration_us: NDArray[np.int64]
    late_us: NDArray[np.int64]
    failed: NDArray[np.bool_]


class Undisturbed:
    """Counts the samples of the window once more, without what stalls can have added; nothing in a run without any.

    ``stalls``: of each incarnation that ever stood still.
    """

    def __init__(self, window: Window, stalls: Mapping[str, Sequence[Stall]]) -> None:
        self._window = window
        self._any = {incarnation: Stalled(found) for incarnation, found in stalls.items()}
        self._long = {incarnation: Stalled(filter(_can_fail, found)) for incarnation, found in stalls.items()}
        self._rollups: dict[int, Rollup] = {}

    def take(self, block: Block) -> None:
        """Take in the next block."""
        if not self._any:
            return
        rows = np.flatnonzero((block.end_ns >= self._window.start_ns) & (block.end_ns < self._window.end_ns))
        if not len(rows):
            return
        best = self.best(block)
        values = (best.duration_us[rows], block.bytes[rows], best.failed[rows], best.late_us[rows])
        for (_, name_id), rollup in roll_up(np.zeros(len(rows), np.int64), block.name_id[rows], *values).items():
            self._rollups.setdefault(name_id, Rollup()).merge(rollup)

    def best(self, block: Block) -> Best:
        """The samples of a block without what stalls can have added."""
        stalled_us = _stalled_us(block, self._any, block.duration_us)
        late_us = block.late_us
        if self._any and int(late_us.max()) > 0:
            since_due_us = response_us(block.duration_us, late_us)
            late_us = np.maximum(late_us - _stalled_us(block, self._any, since_due_us) + stalled_us, 0)
        return Best(
            duration_us=np.maximum(block.duration_us - stalled_us, np.minimum(block.duration_us, 0)),
            late_us=late_us,
            failed=block.failed & (_stalled_us(block, self._long, block.duration_us) == 0),
        )

    def rollups(self) -> dict[int, Rollup] | None:
        """By name id; None in a run without stalls."""
        return self._rollups if self._any else None


def _can_fail(stall: Stall) -> bool:
    return stall.length_us >= FAILING_STALL_US


def _stalled_us(block: Block, stalled: Mapping[str, Stalled], before_end_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long its worker stood still in so many microseconds before each sample's end; 0 where that is negative."""
    found = np.zeros(len(block), np.int64)
    for at, (incarnation, _) in enumerate(block.incarnations):
        if incarnation in stalled:
            rows = np.flatnonzero(block.incarnation == at)
            end_ns = block.end_ns[rows]
            start_ns = end_ns - np.maximum(before_end_us[rows], 0) * NS_PER_US
            found[rows] = stalled[incarnation].within_us(start_ns, end_ns)
    return found
