"""Export: the tables of a run as CSV, Parquet or JSON lines, batch by batch, so that a run may have any size.

Columns and units are those of the run folder's Parquet files (docs/reference/archive.md); docs/reference/csv.md says
how CSV writes them.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.run_record import Latencies
from loadstone.domain.request_name import RequestName
from loadstone.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import RunRecord

__all__ = ["SINKS", "Exported", "FormatName", "Sink", "What", "default_target", "export", "export_file"]

_PROGRESS_EVERY_S: Final = 1.0
_TEXTS: Final = ("method", "name")
_COUNTS: Final = frozenset({"requests", "failures", "bytes"})
_FIGURES: Final = (
    *("requests", "failures", "failures_pct", "rps", "bytes"),
    *("mean_ms", "min_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms"),
)
"""The columns of the stats after method and name: fields of `Figures`."""


class What(StrEnum):
    """The tables of a run that can be exported."""

    REQUESTS = "requests"
    ROLLUPS = "rollups"
    USAGE = "usage"
    STATS = "stats"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many rows were written, and in how many seconds."""

    rows: int
    seconds: float

    @property
    def rows_per_s(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0


def default_target(folder: RunFolder, what: What, form: FormatName, here: Path) -> Path:
    """The file of an export for which none is named."""
    return here / f"{folder.run}-{what}.{form}"


def export_file(
    folder: RunFolder,
    what: What,
    form: FormatName,
    target: Path,
    progress: Callable[[str], None],
    *,
    force: bool = False,
) -> Exported:
    """Export to a new file, which appears once it is complete. Raises `UsageError` if it exists, unless forced.

    A link leads on to its file. A device or a pipe is written to as it is: to replace ``/dev/null`` by a file would
    break the machine.
    """
    try:
        if target.is_dir():
            raise UsageError(f"{target} is a folder", hint="Name a file with --output")
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                return export(folder, what, form, file, progress)
        if target.exists() and not force:
            raise UsageError(
                f"{target} exists already", hint="Name another file with --output, or replace it with --force"
            )
        with _complete_file(target) as file:
            return export(folder, what, form, file, progress)
    except OSError as error:
        raise ArchiveError(
            f"{target} cannot be written: {error.strerror or error}", hint="Name another file with --output"
        ) from error


@contextmanager
def _complete_file(target: Path) -> Iterator[BinaryIO]:
    """A file beside ``target``, or beside where that leads to, that takes its place at the end."""
    real = Path(os.path.realpath(target))
    if real.is_symlink():  # not to be resolved
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    temporary = real.with_name(f".loadstone-{token_hex(8)}.part")
    with temporary.open("xb") as file:
        try:
            yield file
            file.close()
            temporary.replace(real)
        finally:
            temporary.unlink(missing_ok=True)


def export(
    folder: RunFolder, what: What, form: FormatName, file: BinaryIO, progress: Callable[[str], None]
) -> Exported:
    """Export to an open file; ``progress`` gets a line about every second. Raises `ArchiveError`."""
    total, schema, batches = _source(ClosedRun.open(folder), what)
    counter = _Counter(total, progress)
    with SINKS[form](file, schema) as sink:
        for batch in batches:
            sink.write(batch)
            counter.add(batch.num_rows)
    return counter.done()


def _source(run: ClosedRun, what: What) -> tuple[int, pa.Schema, Iterator[pa.RecordBatch]]:
    """How many rows a table has, its columns, and its rows in batches."""
    if what is What.STATS:
        stats = _stats(run.record)
        return len(stats), stats.schema, iter(stats.to_batches())
    table = {What.REQUESTS: run.requests, What.ROLLUPS: run.rollups, What.USAGE: run.usage}[what]()
    return table.rows, table.schema, table.batches()


def _stats(run: RunRecord) -> pa.Table:
    """The figures of the whole run per request name; the last row is the total, with empty method and name.

    Under the open model the last columns are of service times.
    """
    part = run.summary.run
    names = [*(figures.request_name for figures in part.names), RequestName("", "")]
    rows = [*part.names, part.total]
    columns: dict[str, pa.Array[Any]] = {
        field: pa.array([getattr(name, field) for name in names], pa.string()) for field in _TEXTS
    }
    for field in _FIGURES:
        kind = pa.int64() if field in _COUNTS else pa.float64()
        columns[field] = pa.array([getattr(row, field) for row in rows], kind)
    if part.total.service is not None:
        for field in Latencies.__struct_fields__:
            columns[f"service_{field}"] = pa.array([getattr(row.service, field) for row in rows], pa.float64())
    return pa.table(columns)


class _Counter:
    """Counts the rows written and reports them about once a second."""

    def __init__(self, total: int, progress: Callable[[str], None]) -> None:
        self._total = total
        self._progress = progress
        self._begun_s = self._reported_s = time.monotonic()
        self._rows = 0

    def add(self, rows: int) -> None:
        """Count rows that were written."""
        self._rows += rows
        now_s = time.monotonic()
        if now_s - self._reported_s >= _PROGRESS_EVERY_S:
            self._reported_s = now_s
            share = self._rows / self._total if self._total else 1.0
            rate = self._rows / (now_s - self._begun_s)
            self._progress(f"{self._rows:,} of {self._total:,} rows ({share:.0%}), {rate:,.0f} rows/s")

    def done(self) -> Exported:
        """The rows written and the time they took."""
        return Exported(self._rows, time.monotonic() - self._begun_s)


_FORMULA: Final = r"^[=+\-@\t\r\n]"
"""How a text begins that a spreadsheet would run as a formula (OWASP, "CSV Injection")."""


class FormatName(StrEnum):
    """The formats of an export; also the suffixes of its file."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


class Sink(Protocol):
    """A writer of one format; its output is complete when its context ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def write(self, batch: Any) -> None:
        """Add the rows of one record batch."""


class _CsvSink:
    """CSV without the columns that are lists: a cell holds one value."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._names = [field.name for field in schema if not pa.types.is_list(field.type)]
        flat = pa.schema([(name, _flat(schema.field(name).type)) for name in self._names])
        self._schema = flat
        self._writer = pa_csv.CSVWriter(file, flat)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.close()

    def write(self, batch: Any) -> None:
        """See `Sink`."""
        columns = [_for_csv(batch.column(name)) for name in self._names]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))


class _ParquetSink:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.close()

    def write(self, batch: Any) -> None:
        """See `Sink`."""
        self._writer.write_batch(batch)


class _JsonSink:
    """One JSON object per line; times are ISO 8601 texts in UTC."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._file = file
        self._names = schema.names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def write(self, batch: Any) -> None:
        """See `Sink`."""
        columns = [_for_json(column).to_pylist() for column in batch.columns]
        dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        lines = [dump(dict(zip(self._names, row, strict=True))) for row in zip(*columns, strict=True)]
        self._file.write(("\n".join(lines) + "\n").encode("utf-8", "replace") if lines else b"")


def _flat(kind: Any) -> Any:
    """The type of a column in CSV: text for dictionaries and times."""
    return pa.string() if pa.types.is_dictionary(kind) or pa.types.is_timestamp(kind) else kind


def _iso(column: Any) -> Any:
    """Times as ISO 8601 in UTC with the precision of the column; casts are 20 times as fast as ``strftime``."""
    texts = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def _disarmed(texts: Any) -> Any:
    """Texts with an apostrophe before what a spreadsheet would run as a formula."""
    marked = pc.binary_join_element_wise("'", texts, "")
    return pc.if_else(pc.match_substring_regex(texts, _FORMULA), marked, texts)


def _for_csv(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        return _disarmed(column.dictionary.cast(pa.string())).take(column.indices)
    if pa.types.is_string(column.type):
        return _disarmed(column)
    return _iso(column) if pa.types.is_timestamp(column.type) else column


def _for_json(column: Any) -> Any:
    return _iso(column) if pa.types.is_timestamp(column.type) else column


SINKS: Final[dict[FormatName, Callable[[BinaryIO, pa.Schema], Sink]]] = {
    FormatName.CSV: _CsvSink,
    FormatName.PARQUET: _ParquetSink,
    FormatName.JSONL: _JsonSink,
}
