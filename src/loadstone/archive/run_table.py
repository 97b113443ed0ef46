"""RunTable: one Parquet file of a run folder, read as a whole, by row groups or batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.archive.plain_file import check_plain_file, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadstone.errors import UnreadableRunError

__all__ = ["BATCH_ROWS", "DAMAGE", "RunTable"]

BATCH_ROWS: Final = 32 * 1024
"""Rows of a table in memory at a time, unless a reader asks for another number."""
DAMAGE: Final = (OSError, pa.ArrowException, ValueError, LookupError, MemoryError)
"""What reading a damaged file may raise."""


class RunTable:
    """One Parquet table of a run, read as a whole or batch by batch.

    ``rows`` and ``schema`` are known before anything is read. ``cure`` is what can be done about a damaged file. Raises
    `UnreadableRunError` when it is missing or damaged, here or while it is read.
    """

    def __init__(self, path: Path, cure: str) -> None:
        self.path = path
        self._cure = cure
        try:
            check_plain_file(path, cure)
            self._file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        except DAMAGE as error:
            raise self._unreadable(error) from error
        self.rows: int = self._file.metadata.num_rows
        self.schema: pa.Schema = self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, of all columns or of these."""
        try:
            self._check(columns)
            return self._file.read(columns=None if columns is None else list(columns))
        except DAMAGE as error:
            raise self._unreadable(error) from error

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Record batches of at most ``rows`` rows, of all columns or of these."""
        try:
            self._check(columns)
            yield from self._file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))
        except DAMAGE as error:
            raise self._unreadable(error) from error

    def groups_without(self, column: str, value: Any) -> list[int]:
        """Row groups in which some row may have another value in a column than this one."""
        try:
            return [
                group for group, known in self._statistics(column) if not known or {known.min, known.max} != {value}
            ]
        except DAMAGE as error:
            raise self._unreadable(error) from error

    def group_maxima(self, column: str) -> list[tuple[int, Any]]:
        """Every row group, and the highest value of a column in it; None where the file does not say."""
        try:
            return [(group, known.max if known else None) for group, known in self._statistics(column)]
        except DAMAGE as error:
            raise self._unreadable(error) from error

    def group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """The rows of one row group, of these columns."""
        try:
            self._check(columns)
            return self._file.read_row_group(group, columns=list(columns))
        except DAMAGE as error:
            raise self._unreadable(error) from error

    def _statistics(self, column: str) -> list[tuple[int, Any]]:
        """What the file says of a column in each row group; None where it says nothing."""
        self._check([column])
        at, metadata = self.schema.names.index(column), self._file.metadata
        found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
        return [(group, each if each and each.has_min_max else None) for group, each in enumerate(found)]

    def _check(self, columns: Sequence[str] | None) -> None:
        """Raise `KeyError` when a column is missing, which pyarrow passes over."""
        missing = [name for name in columns or () if name not in self.schema.names]
        if missing:
            raise KeyError(f"it has no column {missing[0]}")

    def _unreadable(self, error: Exception) -> UnreadableRunError:
        return unreadable(self.path, error, self._cure)
