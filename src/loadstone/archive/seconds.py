"""The whole seconds of a run's window, read from its archive."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import BUCKETS
from loadstone.domain.run_seconds import ALL, RunSeconds
from loadstone.domain.time import MS_PER_S, NS_PER_S
from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from loadstone.archive.closed_run import ClosedRun

__all__ = ["read_seconds"]

_MOST_SECONDS: Final = 31 * 86_400
_COLUMNS: Final = ("second", "method", "name", "n", "err", "rt_sum_us", "bucket", "bucket_n")


def read_seconds(
    run: ClosedRun, *, names: Collection[str] | None = None, most_cells: float = inf
) -> dict[RequestName, RunSeconds]:
    """The whole seconds of the window, for `ALL` and for each request name. Raises `ArchiveError`.

    ``names``: only these, with or without their methods. Nothing at all is returned where seconds x histogram buckets
    come to more than ``most_cells``, of 8 bytes each. A window that is absurdly long is an `UnreadableRunError`.
    """
    window = run.record.window
    begin, end = -(-window.start_ns // NS_PER_S), window.end_ns // NS_PER_S
    if end - begin > _MOST_SECONDS:
        raise UnreadableRunError(
            f"the window of run {run.record.id} has {end - begin:,} s; runs of up to {_MOST_SECONDS:,} s are compared",
            hint="See with `loadstone show` when it began and ended: a clock was wrong by years",
        )
    length = max(0, end - begin)
    gathered = {ALL: _Gathered(length)}
    for batch in run.rollups().batches(_COLUMNS):
        at = np.asarray(batch.column("second").cast(pa.int64())) // MS_PER_S - begin
        inside = np.flatnonzero((at >= 0) & (at < length))
        rows = batch.take(inside)
        gathered[ALL].add(rows, at[inside])
        for name, of_name in _rows_of(rows, names).items():
            gathered.setdefault(name, _Gathered(length)).add(rows.take(of_name), at[inside][of_name])
        if sum(each.cells for each in gathered.values()) > most_cells:
            return {}
    return {name: gathered[name].seconds() for name in sorted(gathered)}


def _rows_of(batch: Any, names: Collection[str] | None) -> dict[RequestName, list[int]]:
    """Where each request name is in a batch, of these names only."""
    rows: dict[RequestName, list[int]] = {}
    if names is None or names:
        keys = zip(*(batch.column(column).to_pylist() for column in ("method", "name")), strict=True)
        for row, key in enumerate(keys):
            rows.setdefault(RequestName(*map(str, key)), []).append(row)
    return {name: of for name, of in rows.items() if names is None or name.name in names or name.label in names}


class _Gathered:
    """The rows of one name, added up second by second; a pair of second and bucket takes room only where it occurs."""

    def __init__(self, length: int) -> None:
        self._sums = {field: np.zeros(length, np.int64) for field in ("n", "err", "rt_sum_us")}
        self._seen = np.zeros(BUCKETS, np.bool_)
        self._keys: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []

    @property
    def cells(self) -> int:
        """How many its matrix of counts has."""
        return len(self._sums["n"]) * int(self._seen.sum())

    def add(self, batch: Any, at: NDArray[np.int64]) -> None:
        """Add rows, each in the second ``at`` which it is."""
        for field, sums in self._sums.items():
            np.add.at(sums, at, np.asarray(batch.column(field)))
        buckets = np.asarray(batch.column("bucket").flatten(), np.int64)
        lengths = np.diff(np.asarray(batch.column("bucket").offsets))
        keys, place = np.unique(np.repeat(at, lengths) * BUCKETS + buckets, return_inverse=True)
        self._keys.append(keys)
        self._counts.append(
            np.bincount(place, np.asarray(batch.column("bucket_n").flatten()), len(keys)).astype(np.int64)
        )
        self._seen[buckets] = True

    def seconds(self) -> RunSeconds:
        """What was gathered."""
        buckets = np.flatnonzero(self._seen)
        matrix = np.zeros((len(self._sums["n"]), len(buckets)), np.int64)
        for keys, counts in zip(self._keys, self._counts, strict=True):
            at, bucket = np.divmod(keys, BUCKETS)
            matrix[at, np.searchsorted(buckets, bucket)] += counts
        return RunSeconds(self._sums["n"], self._sums["err"], self._sums["rt_sum_us"], buckets, matrix)
