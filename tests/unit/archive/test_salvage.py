"""Salvaging: all that checksums vouch for, in a folder of its own, which says what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.finalize.closing import recover_run, salvage_run
from loadstone.archive.journal.reader import segment_paths
from loadstone.cli.main import main
from loadstone.errors import ArchiveError, UsageError
from support.archive_reader import rows
from support.full_disk import files_no_larger_than
from support.harmed_journal import (
    HARM,
    REQUESTS,
    RUN,
    damaged,
    flip_a_bit,
    is_not_closed_again,
    lose_a_segment_in_between,
)
from support.run_files import flip, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.archive.folder import RunFolder


@pytest.mark.attack("the journal of a closed run is damaged, cut, emptied or exchanged", "--salvage tells what is lost")
@pytest.mark.parametrize(("harm", "_words"), HARM)
def test_salvaging_writes_beside_the_run_and_its_ledger_tells_the_loss(
    run: RunFolder, harm: Callable[[RunFolder], None], _words: str
):
    harm(run)
    before = snapshot(run)
    result = salvage_run(run)
    assert snapshot(run) == before
    assert result.folder.path == run.path.with_name(f"{RUN}-salvaged")
    record = result.record
    stored = {each.incarnation: each.stored for each in record.incarnations}
    known = {each.incarnation: each for each in ClosedRun.open(run).record.incarnations}
    lost = sum(each.produced - stored[name] for name, each in known.items())
    assert lost > 0
    assert (record.ledgers.archive.unknown, record.ledgers.archive.balances) == (lost, False)
    assert (record.verdict, record.exit_code) == ("inconclusive", 3)
    assert record.reasons[0] == f"salvaged from the damaged journal of run {RUN}, so parts are missing"
    assert record.salvage is not None
    assert record.salvage.run == RUN
    assert sum(each.requests for each in record.salvage.missing) == lost
    for each in record.salvage.missing:
        assert each.batches == known[each.incarnation].batches - batches_of(result.folder, each.incarnation)
    assert len(rows(result.folder.requests)) == record.requests == sum(stored.values())
    assert not damaged(result.folder)


def batches_of(folder: RunFolder, incarnation: str) -> int:
    record = ClosedRun.open(folder).record
    return next(each.batches for each in record.incarnations if each.incarnation == incarnation)


def test_everything_that_checksums_vouch_for_is_salvaged(run: RunFolder):
    first, second, *_ = segment_paths(run.journal)
    flip(first, 4 + 3)  # the header of the first entry
    flip(second, second.stat().st_size // 2)
    os.truncate(segment_paths(run.journal)[-1], segment_paths(run.journal)[-1].stat().st_size - 20)
    result = salvage_run(run)
    assert result.record.contents is not None
    assert result.record.salvage is not None
    whole = ClosedRun.open(run).record.contents
    assert whole is not None
    found = result.record.contents
    assert (whole.batches - found.batches) + (whole.events - found.events) + (
        whole.usage_ticks - found.usage_ticks
    ) == 3
    assert [each.file for each in result.record.salvage.damage] == [
        "00000001.lsj",
        "00000002.lsj",
        segment_paths(run.journal)[-1].name,
    ]
    assert all(each.end is not None and each.start < each.end for each in result.record.salvage.damage)


def test_a_second_salvage_gets_a_folder_of_its_own_and_a_whole_journal_is_not_salvaged(run: RunFolder):
    with pytest.raises(UsageError, match="is whole, so there is nothing to salvage"):
        salvage_run(run)
    flip_a_bit(run)
    names = [salvage_run(run).folder.run for _ in range(3)]
    assert names == [f"{RUN}-salvaged", f"{RUN}-salvaged-2", f"{RUN}-salvaged-3"]


def test_a_salvage_that_fails_leaves_no_folder(run: RunFolder):
    flip_a_bit(run)
    before = sorted(run.path.parent.iterdir())
    with files_no_larger_than(3000), pytest.raises(ArchiveError, match="cannot write the files"):
        salvage_run(run)
    assert sorted(run.path.parent.iterdir()) == before


def test_the_command_says_what_was_salvaged_and_what_is_missing(run: RunFolder, capsys: pytest.CaptureFixture[str]):
    flip_a_bit(run)
    assert main(["recover", RUN, "--salvage", "--results", str(run.path.parent)]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "segment 00000002.lsj of the journal holds no whole entry from byte" in said
    assert f"run {RUN}-salvaged" in said
    assert main(["verify", "--all", "--results", str(run.path.parent)]) == 1
    assert (run.path.with_name(f"{RUN}-salvaged") / "report.html").is_file()


@pytest.mark.attack("the journal of an open run is damaged", "recover refuses with file and offset")
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(flip_a_bit, "00000002.lsj is damaged at byte", id="a bit flipped in a segment in between"),
        pytest.param(lose_a_segment_in_between, "00000002.lsj is missing", id="a segment in between deleted"),
        pytest.param(
            lambda run: os.truncate(segment_paths(run.journal)[1], 3000),
            "00000002.lsj is damaged at byte",
            id="a segment in between torn",
        ),
    ],
)
def test_an_open_run_with_a_damaged_journal_is_refused_and_salvaged(
    left_open: RunFolder, harm: Callable[[RunFolder], None], words: str
):
    harm(left_open)
    error = is_not_closed_again(left_open, words, lambda: recover_run(left_open))
    assert f"loadstone recover {RUN} --salvage" in error.hint
    before = snapshot(left_open)
    record = salvage_run(left_open).record
    assert snapshot(left_open) == before
    assert record.salvage is not None
    missing = sum(each.requests for each in record.salvage.missing)
    assert record.ledgers.archive.unknown == missing == REQUESTS - record.requests > 0
    assert (record.verdict, record.ledgers.archive.balances) == ("inconclusive", False)
    assert all(each.seqs and each.batches for each in record.salvage.missing)
