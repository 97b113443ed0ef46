"""Usage in charts: CPU, memory and throttling of every container, with the limits beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadstone.charts.catalogue import LIMIT, MOST_SERIES, OTHER_NAMES
from loadstone.domain.live import container_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Values = list[float | None]

__all__ = ["MIB", "read_usage_series", "usage_point"]

MIB: Final = 1024 * 1024
_NS: Final = 1_000_000_000
_CHARTS: Final[Mapping[str, tuple[str, str | None, float]]] = {
    "cpu": ("cpu_cores", "cpu_limit", 1.0),
    "memory": ("mem_bytes", "mem_limit", MIB),
    "throttled": ("throttled_pct", None, 1.0),
}
"""Chart to field, field of its limit, and what one unit of the chart is."""


def usage_point(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Chart to label to value of the rows of one moment; the limit drawn is the lowest that any of them has."""
    rows = list(rows)
    return {chart: _values(rows, *fields) for chart, fields in _CHARTS.items()}


def _values(rows: list[Mapping[str, Any]], field: str, limit_field: str | None, unit: float) -> dict[str, float | None]:
    room = MOST_SERIES - 2
    found = {
        container_label(row["service"], row["container"]): row[field] / unit
        for row in rows[:room]
        if row[field] is not None
    }
    rest = [row[field] / unit for row in rows[room:] if row[field] is not None]
    limits = [row[limit_field] / unit for row in rows if limit_field and row[limit_field]]
    summed = {OTHER_NAMES: float(sum(rest))} if rest else {}
    return {**found, **summed, **({LIMIT: min(limits)} if limits else {})}


def read_usage_series(path: Path, *, begin: int, bins: int, step: int) -> dict[str, dict[str, Values]]:
    """Chart to label to values per bin: the mean of CPU over a bin, the highest of memory and throttling."""
    moments: dict[int, list[Mapping[str, Any]]] = {}
    for batch in pq.ParquetFile(path).iter_batches():
        table = pa.Table.from_batches([batch])
        table = table.set_column(0, "at", table["at"].cast(pa.int64()))
        for row in table.to_pylist():
            moments.setdefault(row["at"], []).append(row)
    gathered: dict[str, dict[str, list[list[float]]]] = {chart: {} for chart in _CHARTS}
    for at_ns, rows in moments.items():
        at = (at_ns // _NS - begin) // step
        if 0 <= at < bins:
            _gather(gathered, usage_point(sorted(rows, key=lambda row: (row["service"], row["container"]))), at, bins)
    return {chart: _folded(labels, np.mean if chart == "cpu" else np.max) for chart, labels in gathered.items()}


def _gather(
    gathered: dict[str, dict[str, list[list[float]]]],
    point: Mapping[str, Mapping[str, float | None]],
    at: int,
    bins: int,
) -> None:
    for chart, values in point.items():
        for label, value in values.items():
            if value is not None:
                gathered[chart].setdefault(label, [[] for _ in range(bins)])[at].append(value)


def _folded(labels: Mapping[str, list[list[float]]], fold: Callable[[list[float]], Any]) -> dict[str, Values]:
    return {
        label: [round(float(fold(values)), 4) if values else None for values in bins] for label, bins in labels.items()
    }
