"""The whole seconds of a run's window, read from its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from loadstone.domain.request_name import RequestName
from loadstone.domain.run_seconds import ALL, RunSeconds
from loadstone.domain.time import MS_PER_S, NS_PER_S
from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadstone.archive.closed_run import ClosedRun

__all__ = ["read_seconds", "seconds_of_names"]

_MOST_SECONDS: Final = 31 * 86_400
_COLUMNS: Final = ("second", "method", "name", "n", "err", "rt_sum_us", "bucket", "bucket_n")


def read_seconds(run: ClosedRun) -> dict[RequestName, RunSeconds]:
    """The whole seconds of the window, for each request name and for `ALL`. Raises `ArchiveError`.

    Memory grows with the window, so one that is absurdly long is an `UnreadableRunError`.
    """
    window = run.record.window
    begin, end = -(-window.start_ns // NS_PER_S), window.end_ns // NS_PER_S
    if end - begin > _MOST_SECONDS:
        raise UnreadableRunError(
            f"the window of run {run.record.id} has {end - begin:,} s; runs of up to {_MOST_SECONDS:,} s are compared",
            hint="See with `loadstone show` when it began and ended: a clock was wrong by years",
        )
    return seconds_of_names(run.rollups().read(_COLUMNS), begin, max(begin, end))


def seconds_of_names(table: pa.Table, begin: int, end: int) -> dict[RequestName, RunSeconds]:
    """Split a table with the columns of rollups.parquet; seconds since 1970, ``begin <= second < end``."""
    at = np.asarray(table["second"].cast(pa.int64())) // MS_PER_S - begin
    inside = np.flatnonzero((at >= 0) & (at < end - begin))
    table, at = table.take(inside), at[inside]
    rows: dict[RequestName, list[int]] = {}
    for row, (method, name) in enumerate(
        zip(*(table[column].to_pylist() for column in ("method", "name")), strict=True)
    ):
        rows.setdefault(RequestName(str(method), str(name)), []).append(row)
    found = {ALL: _seconds(table, at, end - begin)}
    return found | {name: _seconds(table.take(rows[name]), at[rows[name]], end - begin) for name in sorted(rows)}


def _seconds(table: pa.Table, at: NDArray[np.int64], length: int) -> RunSeconds:
    columns = table.combine_chunks()
    indexes, counts = (_flat(columns[name]) for name in ("bucket", "bucket_n"))
    lengths = np.array([len(row) for row in columns["bucket"]], np.int64)
    buckets, place = np.unique(indexes, return_inverse=True)
    matrix = np.zeros((length, len(buckets)), np.int64)
    np.add.at(matrix, (np.repeat(at, lengths), place), counts)
    sums = [np.bincount(at, np.asarray(columns[name]), length).astype(np.int64) for name in ("n", "err", "rt_sum_us")]
    return RunSeconds(sums[0], sums[1], sums[2], buckets, matrix)


def _flat(column: Any) -> NDArray[np.int64]:
    chunks = [np.asarray(chunk.flatten(), np.int64) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
