"""Reads a closed run folder, and counts its raw rows independently of loadstone's rollups."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder

__all__ = ["csv_rows", "file_bytes", "raw_figures", "rows", "table"]


def table(path: Path) -> pa.Table:
    """A Parquet file with plain instead of dictionary columns."""
    return pq.read_table(path)


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file; times as ns since 1970."""
    read = table(path)
    columns = {
        name: read[name].cast(pa.int64()).to_pylist() if str(read[name].type).startswith("timestamp") else None
        for name in read.column_names
    }
    plain = {name: values or read[name].to_pylist() for name, values in columns.items()}
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def file_bytes(folder: RunFolder) -> dict[str, bytes]:
    """The content of every file of a run but its journal."""
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def raw_figures(raw: list[dict[str, Any]]) -> dict[str, float]:
    """What these rows of requests.parquet come to: counts, and latencies in ms by numpy's nearest rank."""
    durations = np.array([row["rt_us"] for row in raw], np.int64)
    percents = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}
    return {
        "requests": len(raw),
        "failures": sum(not row["ok"] for row in raw),
        "bytes": sum(row["bytes"] for row in raw),
        "mean_ms": float(durations.mean()) / 1000,
        "min_ms": int(durations.min()) / 1000,
        "max_ms": int(durations.max()) / 1000,
        **{
            name: float(np.percentile(durations, percent, method="inverted_cdf")) / 1000
            for name, percent in percents.items()
        },
    }
