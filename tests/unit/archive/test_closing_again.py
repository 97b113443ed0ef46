"""Closing a run again: it never holds less than before, and a full disk leaves it as it was."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.finalize.closing import close_run, recover_run, salvage_run
from loadstone.archive.journal.frame import Segment
from loadstone.archive.journal.reader import read_journal, segment_paths
from loadstone.archive.verify import verify_run
from loadstone.cli.main import main
from loadstone.errors import ArchiveError, UnreadableRunError, UsageError
from support.full_disk import files_no_larger_than
from support.harmed_journal import (
    HARM,
    REQUESTS,
    RUN,
    add_late_entries,
    cut_the_last_segment,
    damaged,
    is_not_closed_again,
)
from support.run_files import flip, snapshot, without_digests
from support.run_maker import write_journal
from support.varied_run import at

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.archive.folder import RunFolder


@pytest.mark.attack("the journal beside a closed run is damaged, cut, emptied or exchanged", "recover refuses")
@pytest.mark.parametrize(("harm", "words"), HARM)
def test_a_harmed_journal_beside_a_closed_run_never_makes_it_worse(
    run: RunFolder, harm: Callable[[RunFolder], None], words: str, capsys: pytest.CaptureFixture[str]
):
    harm(run)
    error = is_not_closed_again(run, words, lambda: recover_run(run))
    assert "--salvage" in error.hint
    with run.lock():
        is_not_closed_again(run, "", lambda: close_run(run, now_ns=at(2000)))
    assert main(["recover", RUN, "--results", str(run.path.parent)]) == 2
    assert str(error) in capsys.readouterr().err
    assert ClosedRun.open(run).record.requests == REQUESTS


def test_a_journal_that_is_cut_behind_any_entry_never_makes_a_closed_run_worse(run: RunFolder):
    whole = list(read_journal(run.journal))
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    for length in range(0, len(whole), 7):
        shutil.rmtree(run.journal)
        write_journal(run.journal, whole[:length])
        with pytest.raises(UnreadableRunError, match=" of "):
            recover_run(run)
        assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


def test_a_run_of_version_0_1_is_not_closed_again_with_less_either(run: RunFolder):
    without_digests(run)
    document = json.loads(run.run_json.read_text())
    whole = list(read_journal(run.journal))
    for kind in ("samples", "events", "usage"):
        shutil.rmtree(run.journal)
        write_journal(run.journal, [entry for entry in whole if entry.kind.name.lower() != kind])
        with pytest.raises(UnreadableRunError, match="0 of "):
            recover_run(run)
        assert json.loads(run.run_json.read_text()) == document


@pytest.mark.parametrize("damage", ["a flipped bit", "half of it", "nothing in it"])
def test_a_damaged_run_json_is_built_again_from_a_whole_journal_and_not_from_a_shorter_one(run: RunFolder, damage: str):
    text = run.run_json.read_bytes()
    harmed = {"half of it": text[: len(text) // 2], "nothing in it": b""}.get(damage)
    if harmed is None:
        flip(run.run_json, len(text) // 3)
    else:
        run.run_json.write_bytes(harmed)
    whole = {path: path.read_bytes() for path in segment_paths(run.journal)}
    cut_the_last_segment(run)
    is_not_closed_again(run, "of 1,260 requests", lambda: recover_run(run))
    for path, content in whole.items():
        path.write_bytes(content)
    assert recover_run(run).record.requests == REQUESTS
    assert not damaged(run)


def test_a_pipe_in_place_of_the_events_keeps_nobody_from_building_a_damaged_run_json_again(run: RunFolder):
    flip(run.run_json, 100)
    run.events.unlink()
    os.mkfifo(run.events)
    assert recover_run(run).record.requests == REQUESTS
    assert not damaged(run)


def test_a_run_json_of_a_newer_version_is_left_as_it_is(run: RunFolder):
    run.run_json.write_text('{"format": 99, "versions": {"loadstone": "7.1.0"}}')
    before = snapshot(run)
    with pytest.raises(ArchiveError, match="has format 99"):
        recover_run(run)
    assert snapshot(run) == before


@pytest.mark.parametrize("name", ["requests.parquet", "stats.csv", "events.jsonl"])
@pytest.mark.parametrize("harm", ["flipped", "emptied", "deleted"])
def test_a_damaged_file_is_built_again_as_it_was(run: RunFolder, name: str, harm: str):
    before, path = snapshot(run), run.path / name
    if harm == "flipped":
        flip(path, path.stat().st_size // 2)
    elif harm == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert recover_run(run).record.requests == REQUESTS
    assert snapshot(run) == before


def test_without_a_journal_a_damaged_file_is_told_and_cannot_be_built_again(run: RunFolder):
    shutil.rmtree(run.journal)
    assert recover_run(run).record.requests == REQUESTS
    flip(run.rollups, 1000)
    error = is_not_closed_again(run, "rollups.parquet is damaged", lambda: recover_run(run))
    assert error.hint == "Take it from a copy of the run: its folder holds no journal to build it from again"
    with pytest.raises(ArchiveError, match="no journal from which to salvage"):
        salvage_run(run)


def test_late_entries_are_added_and_the_run_is_closed_again_with_more(run: RunFolder):
    late = add_late_entries(run)
    check = verify_run(run)
    assert not damaged(run), "a journal that has grown is whole"
    assert any("has grown" in note for note in check.notes)
    record = recover_run(run).record
    assert (record.requests, len(record.incarnations)) == (REQUESTS + late, 4)
    assert not damaged(run)


@pytest.mark.attack("the disk is full while a closed run is closed again", "the old archive stays as it was")
@pytest.mark.parametrize("size", [0, 500, 3000, 8000])
def test_a_full_disk_leaves_a_closed_run_as_it_was(run: RunFolder, size: int):
    before = snapshot(run)
    with files_no_larger_than(size), pytest.raises(ArchiveError, match="cannot write the files") as error:
        recover_run(run)
    assert error.value.exit_code == 4
    assert snapshot(run) == before, "temporary files do not take the space that is left"


def test_the_torn_tail_of_the_newest_segment_is_ordinary_and_what_is_unknown_is_said(left_open: RunFolder):
    *_, last, newest = segment_paths(left_open.journal)
    newest.unlink()
    segment = Segment(last.read_bytes())
    ends = [segment.end for _ in segment]
    last.write_bytes(last.read_bytes()[: ends[len(ends) // 2] - 5])
    record = recover_run(left_open).record
    assert record.salvage is None
    assert 0 < record.requests < REQUESTS
    assert record.ledgers.archive.unknown > 0
    assert record.verdict == "inconclusive"
    assert any("the journal ends at" in notice for notice in record.notices)
    assert not damaged(left_open)
    with pytest.raises(UsageError, match="nothing to salvage"):
        salvage_run(left_open)
