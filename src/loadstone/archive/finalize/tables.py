"""The Parquet files of a run folder: their columns, and writers that hold one row group at a time.

docs/reference/archive.md describes every column; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.domain.rollup import response_us
from loadstone.domain.time import MS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.request_name import NameTable, RequestName
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.usage_tick import UsageTick

__all__ = [
    "OPEN_REQUESTS",
    "OPEN_ROLLUPS",
    "REQUESTS",
    "ROLLUPS",
    "ROLLUP_PERCENTS",
    "USAGE",
    "RequestTable",
    "RollupTable",
    "UsageTable",
]

ROLLUP_PERCENTS: Final[Mapping[str, float]] = {
    "p50_us": 50.0,
    "p90_us": 90.0,
    "p95_us": 95.0,
    "p99_us": 99.0,
    "p999_us": 99.9,
}
_TIME: Final = pa.timestamp("ns", tz="UTC")
_SECOND: Final = pa.timestamp("ms", tz="UTC")  # Parquet has no coarser unit
_WORD: Final = pa.dictionary(pa.int32(), pa.string())
_ROWS: Final = 32 * 1024
_BUCKETS: Final = 256 * 1024
"""Rows, or buckets in all rows together, that are held before they become a row group."""

REQUESTS: Final = pa.schema(
    [
        ("start", _TIME),
        ("end", _TIME),
        ("rt_us", pa.int64()),
        ("ttfb_us", pa.int32()),
        ("method", _WORD),
        ("name", _WORD),
        ("ok", pa.bool_()),
        ("status", pa.int32()),
        ("error", _WORD),
        ("bytes", pa.int64()),
        ("worker", pa.int32()),
        ("boot", _WORD),
    ]
)
ROLLUPS: Final = pa.schema(
    [
        ("second", _SECOND),
        ("method", _WORD),
        ("name", _WORD),
        ("n", pa.int64()),
        ("err", pa.int64()),
        ("rt_sum_us", pa.int64()),
        ("rt_min_us", pa.int64()),
        ("rt_max_us", pa.int64()),
        ("bytes", pa.int64()),
        *((column, pa.float64()) for column in ROLLUP_PERCENTS),
        ("bucket", pa.list_(pa.int32())),
        ("bucket_n", pa.list_(pa.int64())),
    ]
)
OPEN_REQUESTS: Final = pa.schema([*REQUESTS, ("service_us", pa.int64()), ("late_us", pa.int64())])
OPEN_ROLLUPS: Final = pa.schema(
    [
        *ROLLUPS,
        ("service_sum_us", pa.int64()),
        ("service_min_us", pa.int64()),
        ("service_max_us", pa.int64()),
        *((f"service_{column}", pa.float64()) for column in ROLLUP_PERCENTS),
        ("service_bucket", pa.list_(pa.int32())),
        ("service_bucket_n", pa.list_(pa.int64())),
    ]
)
"""Under the open model there are these columns too."""
USAGE: Final = pa.schema(
    [
        ("at", _TIME),
        ("service", _WORD),
        ("container", _WORD),
        ("cpu_cores", pa.float64()),
        ("cpu_limit", pa.float64()),
        ("throttled_pct", pa.float64()),
        ("mem_bytes", pa.int64()),
        ("mem_limit", pa.int64()),
        ("rx_bps", pa.float64()),
        ("tx_bps", pa.float64()),
        ("oom", pa.int64()),
    ]
)


class _Table:
    """A Parquet file that grows by row groups; use as a context manager."""

    def __init__(self, path: Path, schema: pa.Schema, **options: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,
            write_page_index=False,
            write_page_checksum=True,
            **options,
        )

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._finish()
        self._writer.close()

    def _finish(self) -> None:
        """Write the rows that are still in memory."""

    def _write(self, columns: Sequence[Any]) -> None:
        table = pa.Table.from_arrays(list(columns), schema=self._schema)
        self._writer.write_table(table, row_group_size=max(1, len(table)))


class RequestTable(_Table):
    """requests.parquet: one row per sample, one row group per block."""

    def __init__(self, path: Path, *, open_model: bool = False) -> None:
        plain = ("start", "end", "rt_us", "ttfb_us", "bytes")
        super().__init__(
            path,
            OPEN_REQUESTS if open_model else REQUESTS,
            use_dictionary=[name for name in REQUESTS.names if name not in {*plain, "ok"}],
            column_encoding={"start": "DELTA_BINARY_PACKED", "end": "DELTA_BINARY_PACKED"},
        )
        self._open_model = open_model

    def write(self, block: Block) -> None:
        """Add the samples of a block."""
        methods, names = zip(*block.pairs, strict=True)
        incarnations, workers = zip(*block.incarnations, strict=True)
        untimed = block.duration_us < 0
        rt_us = response_us(block.duration_us, block.late_us) if self._open_model else block.duration_us
        self._write(
            [
                pa.array(block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US, _TIME),
                pa.array(block.end_ns, _TIME),
                pa.array(rt_us, mask=untimed),
                pa.array(block.ttfb_us, mask=block.ttfb_us < 0),
                _words(block.pair, methods),
                _words(block.pair, names),
                pa.array(~block.failed),
                pa.array(block.status, mask=block.status == 0),
                _words(block.error, block.errors, mask=block.failed),
                pa.array(block.bytes),
                pa.array(np.array(workers, np.int32)[block.incarnation]),
                _words(block.incarnation, incarnations),
                *(self._service(block) if self._open_model else ()),
            ]
        )

    @staticmethod
    def _service(block: Block) -> tuple[Any, Any]:
        """Service times and lateness, microseconds."""
        service_us = pa.array(block.duration_us, mask=block.duration_us < 0)
        return service_us, pa.array(block.late_us, mask=block.late_us < 0)


class RollupTable(_Table):
    """rollups.parquet: one row per second and request name, ascending by second, method and name."""

    def __init__(self, path: Path, names: NameTable, *, open_model: bool = False) -> None:
        words = ["method", "name", "bucket", *(["service_bucket"] if open_model else [])]
        super().__init__(path, OPEN_ROLLUPS if open_model else ROLLUPS, use_dictionary=words)
        self._names = names
        self._open_model = open_model
        self._rows: list[tuple[Any, ...]] = []
        self._buckets = 0

    def write(self, second: int, rollups: Mapping[int, Rollup]) -> None:
        """Add one second that is complete."""
        for name_id in sorted(rollups, key=self._names.__getitem__):
            rollup = rollups[name_id]
            service = _durations(rollup.by_service) if self._open_model else ()
            self._rows.append((*_rollup_row(second, self._names[name_id], rollup), *service))
            self._buckets += len(rollup.histogram.counts)
            if self._open_model:
                self._buckets += len(rollup.by_service.histogram.counts)
        if len(self._rows) >= _ROWS or self._buckets >= _BUCKETS:
            self._finish()

    def _finish(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            self._write([_array(column, field.type) for column, field in zip(columns, self._schema, strict=True)])
            self._rows.clear()
            self._buckets = 0


class UsageTable(_Table):
    """usage.parquet: one row per tick and container, in the order of the journal."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, USAGE)
        self._rows: list[tuple[Any, ...]] = []

    def write(self, tick: UsageTick) -> None:
        """Add one tick."""
        fields = USAGE.names[1:]
        self._rows.extend((tick.at_ns, *(getattr(row, name) for name in fields)) for row in tick.rows)
        if len(self._rows) >= _ROWS:
            self._finish()

    def _finish(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            self._write([_array(column, field.type) for column, field in zip(columns, self._schema, strict=True)])
            self._rows.clear()


def _rollup_row(second: int, name: RequestName, rollup: Rollup) -> tuple[Any, ...]:
    sum_us, min_us, max_us, *shape = _durations(rollup)
    return second * MS_PER_S, *name, rollup.n, rollup.err, sum_us, min_us, max_us, rollup.bytes, *shape


def _durations(rollup: Rollup) -> tuple[Any, ...]:
    """Sum and extremes, percentiles, and the histogram."""
    buckets = sorted(rollup.histogram.counts)
    return (
        rollup.rt_sum_us,
        rollup.rt_min_us,
        rollup.rt_max_us,
        *rollup.percentiles_us(ROLLUP_PERCENTS.values()),
        buckets,
        [rollup.histogram.counts[bucket] for bucket in buckets],
    )


def _words(indexes: NDArray[np.int64], words: Sequence[str], mask: NDArray[np.bool_] | None = None) -> Any:
    """Texts by index as a dictionary array; null where ``mask`` is False."""
    # Equal texts (one name under two methods) must share an index: a dictionary's values are unique.
    unique = list(dict.fromkeys(words))
    place = {word: at for at, word in enumerate(unique)}
    dense = np.array([*(place[word] for word in words), 0], np.int32)[indexes]
    at: Any = pa.array(dense, mask=None if mask is None else ~mask)
    return pa.DictionaryArray.from_arrays(at, pa.array(unique, pa.string()))


def _array(values: Sequence[Any], kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)
