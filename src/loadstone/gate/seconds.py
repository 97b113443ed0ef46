"""RunSeconds: the whole seconds of a run's window as arrays, ready to be drawn from again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from loadstone.archive.folder import RunFolder

__all__ = ["ALL", "RunSeconds", "read_seconds", "seconds_of_names"]

ALL: Final = ("", "")
"""Method and name that stand for all requests together."""
_NS: Final = 1_000_000_000
_COLUMNS: Final = ("second", "method", "name", "n", "err", "rt_sum_us", "bucket", "bucket_n")


@dataclass(frozen=True, slots=True)
class RunSeconds:
    """Seconds of one request name (or of all of them), also those in which nothing ended.

    ``n``, ``err`` and ``rt_sum_us`` have shape (seconds,). ``counts`` has shape (seconds, len(buckets)): how many
    requests fell into each of the histogram's ``buckets``, which ascend.
    """

    n: NDArray[np.int64]
    err: NDArray[np.int64]
    rt_sum_us: NDArray[np.int64]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.n)


def read_seconds(folder: RunFolder, run: Mapping[str, Any]) -> dict[tuple[str, str], RunSeconds]:
    """The whole seconds of the window, of each (method, name) and of `ALL`. Raises `ArchiveError`."""
    window = run["window"]
    begin, end = -(-int(window["start_ns"]) // _NS), int(window["end_ns"]) // _NS
    try:
        table = pq.read_table(folder.rollups, columns=list(_COLUMNS))
    except (OSError, pa.ArrowException) as error:
        hint = f"Build it again with `loadstone recover {folder.run}`"
        raise ArchiveError(f"{folder.rollups} cannot be read: {error}", hint=hint) from error
    return seconds_of_names(table, begin, max(begin, end))


def seconds_of_names(table: pa.Table, begin: int, end: int) -> dict[tuple[str, str], RunSeconds]:
    """Split a table with the columns of rollups.parquet; seconds since 1970, ``begin <= second < end``."""
    at = np.asarray(table["second"].cast(pa.int64())) // 1000 - begin
    inside = np.flatnonzero((at >= 0) & (at < end - begin))
    table, at = table.take(inside), at[inside]
    pairs: Any = zip(table["method"].to_pylist(), table["name"].to_pylist(), strict=True)
    keys: list[tuple[str, str]] = list(pairs)
    found = {ALL: _seconds(table, at, end - begin)}
    for key in sorted(set(keys)):
        mine = np.array([number for number, other in enumerate(keys) if other == key], np.int64)
        found[key] = _seconds(table.take(mine), at[mine], end - begin)
    return found


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
