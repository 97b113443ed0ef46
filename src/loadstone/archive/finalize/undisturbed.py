"""What the window would have looked like at best if no worker had ever stood still (see `loadstone.domain.stall`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loadstone.domain.rollup import Rollup, roll_up
from loadstone.domain.stall import FAILING_STALL_US, Stalled
from loadstone.domain.time import NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.facts import Window
    from loadstone.domain.stall import Stall

__all__ = ["Undisturbed"]


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
        duration_us, failed = self.best(block)
        nowhere = np.zeros(len(rows), np.int64)
        counted = roll_up(nowhere, block.name_id[rows], duration_us[rows], block.bytes[rows], failed[rows])
        for (_, name_id), rollup in counted.items():
            self._rollups.setdefault(name_id, Rollup()).merge(rollup)

    def best(self, block: Block) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Durations, us, and which samples failed, of a block without what stalls can have added."""
        duration_us = np.maximum(block.duration_us - _stalled_us(block, self._any), np.minimum(block.duration_us, 0))
        return duration_us, block.failed & (_stalled_us(block, self._long) == 0)

    def rollups(self) -> dict[int, Rollup] | None:
        """By name id; None in a run without stalls."""
        return self._rollups if self._any else None


def _can_fail(stall: Stall) -> bool:
    return stall.length_us >= FAILING_STALL_US


def _stalled_us(block: Block, stalled: Mapping[str, Stalled]) -> NDArray[np.int64]:
    """How long its worker stood still while each sample of the block was in flight; 0 for one without a duration."""
    found = np.zeros(len(block), np.int64)
    for at, (incarnation, _) in enumerate(block.incarnations):
        if incarnation in stalled:
            rows = np.flatnonzero(block.incarnation == at)
            end_ns = block.end_ns[rows]
            start_ns = end_ns - np.maximum(block.duration_us[rows], 0) * NS_PER_US
            found[rows] = stalled[incarnation].within_us(start_ns, end_ns)
    return found
