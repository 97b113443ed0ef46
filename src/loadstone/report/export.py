"""Export: the tables of a run as CSV, Parquet or JSON lines, batch by batch, so that a run may have any size.

Columns and units are those of the run folder's Parquet files (docs/reference/archive.md); what CSV makes of them is in
docs/reference/csv.md.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.archive.runs import load_run
from loadstone.errors import ArchiveError, UsageError
from loadstone.report.export_formats import SINKS, FormatName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["Exported", "What", "default_target", "export", "export_file"]

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
