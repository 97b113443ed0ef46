"""How each export format is written, one batch at a time."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SINKS", "FormatName", "Sink"]

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
