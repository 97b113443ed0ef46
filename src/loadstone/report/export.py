"""Export: the tables of a run as CSV, Parquet or JSON lines, batch by batch, so that a run may have any size.

Columns and units are those of the run folder's Parquet files (docs/reference/archive.md); what CSV makes of them is in
docs/reference/csv.md.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from loadstone.archive.closed_run import load_run
from loadstone.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["SINKS", "Exported", "FormatName", "Sink", "What", "default_target", "export", "export_file"]

BATCH_ROWS: Final = 32 * 1024
"""Rows in memory at a time."""
_TOLD_EVERY_S: Final = 1.0


class What(StrEnum):
    """Which table of a run."""

    REQUESTS = "requests"
    ROLLUPS = "rollups"
    USAGE = "usage"
    STATS = "stats"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many rows were written, in how many seconds."""

    rows: int
    seconds: float

    @property
    def rows_per_s(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0


def default_target(folder: RunFolder, what: What, form: FormatName, here: Path) -> Path:
    """The file that an export gets when nobody names one."""
    return here / f"{folder.run}-{what}.{form}"


def export_file(
    folder: RunFolder, what: What, form: FormatName, target: Path, told: Callable[[str], None], *, force: bool = False
) -> Exported:
    """Export into ``target``, which is complete or not there. Raises `UsageError` when it exists, unless forced."""
    if target.exists() and not force:
        raise UsageError(f"{target} exists", hint="Give another --output, or --force to replace it")
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            done = export(folder, what, form, file, told)
        temporary.replace(target)
    except OSError as error:
        raise ArchiveError(f"cannot write {target}: {error.strerror or error}", hint="Give another --output") from error
    finally:
        temporary.unlink(missing_ok=True)
    return done


def export(folder: RunFolder, what: What, form: FormatName, file: BinaryIO, told: Callable[[str], None]) -> Exported:
    """Export into an open file; ``told`` hears of the progress about every second. Raises `ArchiveError`."""
    total, schema, batches = _source(folder, what)
    progress = _Progress(total, told)
    with SINKS[form](file, schema) as sink:
        for batch in batches:
            sink.write(batch)
            progress.add(batch.num_rows)
    return progress.done()


def _source(folder: RunFolder, what: What) -> tuple[int, pa.Schema, Iterator[Any]]:
    run = load_run(folder)
    if what is What.STATS:
        table = _stats(run)
        return len(table), table.schema, iter(table.to_batches())
    path = {What.REQUESTS: folder.requests, What.ROLLUPS: folder.rollups, What.USAGE: folder.usage}[what]
    try:
        source = pq.ParquetFile(path, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(
            f"{path} cannot be read: {error}", hint=f"Build it again with `loadstone recover {folder.run}`"
        ) from error
    return source.metadata.num_rows, source.schema_arrow, source.iter_batches(batch_size=BATCH_ROWS)


def _stats(run: dict[str, Any]) -> pa.Table:
    """The figures of the whole run per request name; the last row is of all of them, with empty method and name."""
    part = run["summary"]["run"]
    rows = [*part["names"], {"method": "", "name": "", **part["total"]}]
    kinds: dict[str, pa.DataType] = {
        "method": pa.string(),
        "name": pa.string(),
        **dict.fromkeys(("requests", "failures", "bytes"), pa.int64()),
    }
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in rows[-1]])
    return pa.Table.from_pylist(rows, schema=schema)


class _Progress:
    """Counts rows and tells of them once a second."""

    def __init__(self, total: int, told: Callable[[str], None]) -> None:
        self._total = total
        self._told = told
        self._begun_s = self._told_at_s = time.monotonic()
        self._rows = 0

    def add(self, rows: int) -> None:
        """Count rows that were written."""
        self._rows += rows
        now_s = time.monotonic()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            share = self._rows / self._total if self._total else 1.0
            rate = self._rows / (now_s - self._begun_s)
            self._told(f"{self._rows:,} of {self._total:,} rows ({share:.0%}), {rate:,.0f} rows/s")

    def done(self) -> Exported:
        """What it came to."""
        return Exported(self._rows, time.monotonic() - self._begun_s)


def tell_terminal(text: str) -> None:
    """Progress for people: standard error, so that standard output can be piped."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  (progress for people)


_FORMULA: Final = r"^[=+\-@\t\r\n]"
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""


class FormatName(StrEnum):
    """The formats that a run can be exported in; also the ending of the file."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


class Sink(Protocol):
    """Something that takes batches and is complete when its context ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def write(self, batch: Any) -> None:
        """Add the rows of one record batch."""


class _CsvSink:
    """Columns of lists are left out: a CSV cell holds one value."""

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
    """One JSON object a line; moments as ISO 8601 texts in UTC."""

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
    """The type that CSV has for a column: texts for dictionaries and moments."""
    return pa.string() if pa.types.is_dictionary(kind) or pa.types.is_timestamp(kind) else kind


def _moments(column: Any) -> Any:
    """ISO 8601 in UTC with the fraction that the column's unit has; by casts, 20 times as fast as ``strftime``."""
    texts = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", "")


def _harmless(texts: Any) -> Any:
    """Texts that no spreadsheet takes for a formula."""
    marked = pc.binary_join_element_wise("'", texts, "")
    return pc.if_else(pc.match_substring_regex(texts, _FORMULA), marked, texts)


def _for_csv(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        return _harmless(column.dictionary.cast(pa.string())).take(column.indices)
    if pa.types.is_string(column.type):
        return _harmless(column)
    return _moments(column) if pa.types.is_timestamp(column.type) else column


def _for_json(column: Any) -> Any:
    return _moments(column) if pa.types.is_timestamp(column.type) else column


SINKS: Final[dict[FormatName, Callable[[BinaryIO, pa.Schema], Sink]]] = {
    FormatName.CSV: _CsvSink,
    FormatName.PARQUET: _ParquetSink,
    FormatName.JSONL: _JsonSink,
}
