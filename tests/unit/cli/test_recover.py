"""``loadstone recover`` after a power cut: what was written whole is archived, wherever the cut was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.writer import JournalWriter
from loadstone.cli import main as cli
from loadstone.domain.batch import decode_batch
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261123-101500-beef"
EVERY = 37
"""Bytes between two cuts; every byte is the journal's own test."""


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[tuple[int, int]]]:
    """The segment of a run that nobody closed, and after each of its entries: its length, and the samples in it."""
    run, incarnation = RunMaker(run=RUN).started(), IncarnationMaker(run=RUN)
    for second in range(4):
        run.add(incarnation.batch(samples(5, second, second + 1)))
    run.stopped(4, requests=20).add(incarnation.batch(at_s=4, final=True))
    folder = tmp_path / "results" / RUN / "journal"
    folder.parent.mkdir(parents=True)
    writer, ends, stored = JournalWriter(folder), [], 0
    for entry in run.entries:
        writer.append(*entry)
        writer.sync()
        stored += len(decode_batch(entry.blob).columns) if entry.kind is EntryKind.SAMPLES else 0
        (segment,) = folder.iterdir()
        ends.append((segment.stat().st_size, stored))
    writer.close()
    return segment, ends


def recover(results: Path, run: str) -> tuple[int, int]:
    """Exit code, and the samples that the archive holds."""
    code = cli.main(["recover", run, "--results", str(results)])
    document = json.loads((results / RUN / "run.json").read_text())
    rows = pq.read_metadata(results / RUN / "requests.parquet").num_rows
    assert document["ledgers"]["archive"]["stored"] == document["requests"] == rows
    return code, rows


def test_a_run_that_nobody_closed_is_recovered_and_recovered_again_is_the_same(
    written: tuple[Path, list[tuple[int, int]]], capsys: pytest.CaptureFixture[str]
):
    results = written[0].parents[2]
    assert recover(results, "latest") == (0, 20)
    first = (results / RUN / "run.json").read_bytes()
    assert "verdict: pass" in capsys.readouterr().out
    assert recover(results, RUN[:8]) == (0, 20)
    assert (results / RUN / "run.json").read_bytes() == first


def test_a_cut_in_the_middle_of_a_write_costs_only_what_was_not_whole(
    written: tuple[Path, list[tuple[int, int]]], capsys: pytest.CaptureFixture[str]
):
    segment, ends = written
    whole = segment.read_bytes()
    for cut in range(len(whole) - 1, ends[0][0], -EVERY):
        segment.write_bytes(whole[:cut])
        (segment.parents[1] / "run.json").unlink(missing_ok=True)
        code, rows = recover(segment.parents[2], RUN)
        assert rows == max((stored for end, stored in ends if end <= cut), default=0), cut
        assert code == (0 if cut >= ends[-2][0] else 3), "without its end a run is inconclusive"
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_that_is_not_there_is_named(
    written: tuple[Path, list[tuple[int, int]]], capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["recover", "20260101", "--results", str(written[0].parents[2])]) != 0
    assert "20260101" in capsys.readouterr().err
