"""LiveRollups: the newest seconds of a run and its totals, in memory that does not grow with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.batch import NO_ERROR
from loadstone.domain.mask import mask_secrets
from loadstone.domain.rollup import NameTable, Rollup, roll_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from loadstone.domain.batch import Batch

__all__ = ["OPEN_SECONDS", "LiveRollups", "name_ids"]

OPEN_SECONDS: Final = 60
"""How many of the newest seconds stay open."""
_NS: Final = 1_000_000_000


def name_ids(table: NameTable, names: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """The run-wide ids of a batch's names, secrets masked first."""
    return table.ids_of([(method, mask_secrets(name)) for method, name in names])


class LiveRollups:
    """``open_seconds``: second to name id to rollup; ``totals``: name id to rollup of the whole run.

    A sample that comes after its second was given up counts in ``totals`` and in ``late`` only; the rollups of that
    second are complete again when the run is closed.
    """

    def __init__(self, names: NameTable) -> None:
        self.names = names
        self.open_seconds: dict[int, dict[int, Rollup]] = {}
        self.totals: dict[int, Rollup] = {}
        self.late = 0
        self.given_up = -1

    def apply(self, batch: Batch) -> None:
        """Count the samples of a batch that was not seen before."""
        columns = batch.columns
        if not len(columns):
            return
        ids = name_ids(self.names, batch.names)[columns.name]
        failed = columns.error != NO_ERROR
        for (second, name), rollup in roll_up(
            columns.end_ns // _NS, ids, columns.duration_us, columns.bytes, failed
        ).items():
            self.totals.setdefault(name, Rollup()).merge(rollup)
            self._count(second, name, rollup)
        self._give_up_old()

    def _count(self, second: int, name: int, rollup: Rollup) -> None:
        if second <= self.given_up:
            self.late += rollup.n
            return
        names = self.open_seconds.setdefault(second, {})
        if name in names:
            names[name].merge(rollup)
        else:
            names[name] = rollup

    def _give_up_old(self) -> None:
        while len(self.open_seconds) > OPEN_SECONDS:
            oldest = min(self.open_seconds)
            del self.open_seconds[oldest]
            self.given_up = max(self.given_up, oldest)
