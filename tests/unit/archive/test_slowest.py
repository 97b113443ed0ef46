"""The slowest requests of a run: those that sorting everything would find, without reading every row group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadstone.archive.closed_run import ClosedRun, RunTable
from loadstone.archive.finalize.tables import REQUESTS
from loadstone.archive.slowest import slowest_requests
from loadstone.errors import UnreadableRunError
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def requests(path: Path, *groups: Sequence[int | None]) -> RunTable:
    """A file with these response times, µs, in these row groups; a request's size says which row it is."""
    row = 0
    with pq.ParquetWriter(path, REQUESTS) as writer:
        for group in groups:
            rows = []
            for rt_us in group:
                at = datetime.fromtimestamp(row, UTC)
                found = {"start": at, "end": at, "rt_us": rt_us, "method": "GET", "name": "/", "ok": True}
                rows.append({**found, "status": 200, "bytes": row, "worker": 3, "boot": "b"})
                row += 1
            writer.write_table(pa.Table.from_pylist(rows, REQUESTS), row_group_size=len(rows) or None)
    return RunTable(path, "cure")


def found(table: RunTable, count: int) -> list[tuple[int, int]]:
    return [(each.rt_us, each.size_bytes) for each in slowest_requests(table, count)]


def test_they_are_those_that_sorting_all_requests_finds(tmp_path: Path):
    folder = MadeRun(seconds=30, rate=60).close(tmp_path)
    rows = pq.read_table(folder.requests).to_pylist()
    expected = sorted((row["rt_us"] for row in rows), reverse=True)[:20]
    slowest = ClosedRun.open(folder).slowest(20)
    assert [each.rt_us for each in slowest] == expected
    first = next(row for row in rows if row["rt_us"] == expected[0])
    assert slowest[0].name.label == f"{first['method']} {first['name']}"
    assert (slowest[0].status, slowest[0].error, slowest[0].worker) == (first["status"], first["error"], 0)


def test_the_first_of_equally_slow_ones_comes_first_whatever_group_it_is_in(tmp_path: Path):
    table = requests(tmp_path / "r", [5, 9, 9], [9, 1], [20, 9])
    assert found(table, 4) == [(20, 5), (9, 1), (9, 2), (9, 3)]


def test_requests_without_a_response_time_are_not_among_them(tmp_path: Path):
    assert found(requests(tmp_path / "r", [None, 4, None], [None]), 3) == [(4, 1)]


def test_of_no_requests_none_is_slowest(tmp_path: Path):
    assert found(requests(tmp_path / "r"), 3) == []


def test_row_groups_that_cannot_hold_any_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = requests(tmp_path / "r", [1, 2], [50, 60], [3, 4], [40, 70])
    read: list[int] = []
    whole = RunTable.group
    monkeypatch.setattr(RunTable, "group", lambda self, at, columns: read.append(at) or whole(self, at, columns))
    assert [rt_us for rt_us, _ in found(table, 3)] == [70, 60, 50]
    assert set(read) == {1, 3}


def test_a_file_without_response_times_is_unreadable(tmp_path: Path):
    pq.write_table(pa.table({"name": ["/"]}), tmp_path / "r")
    with pytest.raises(UnreadableRunError, match="it has no column rt_us"):
        slowest_requests(RunTable(tmp_path / "r", "cure"), 3)
