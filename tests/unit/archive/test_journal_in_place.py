"""A journal that something else deletes or moves while it is written: no entry counts as safe that nobody can find."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.journal.reader import read_journal, segment_paths
from loadstone.archive.journal.writer import JournalWriter
from loadstone.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRIES = [Entry(EntryKind.SAMPLES, f"{number}-0", bytes([number]) * 100) for number in range(12)]


def delete_folder(journal: Path) -> None:
    shutil.rmtree(journal)


def delete_results(journal: Path) -> None:
    shutil.rmtree(journal.parents[1])


def move_results(journal: Path) -> None:
    journal.parents[1].rename(journal.parents[2] / "elsewhere")


def delete_first(journal: Path) -> None:
    segment_paths(journal)[0].unlink()


def delete_last(journal: Path) -> None:
    segment_paths(journal)[-1].unlink()


def replace_by_copies(journal: Path) -> None:
    shutil.copytree(journal, journal.with_name("copy"))
    shutil.rmtree(journal)
    journal.with_name("copy").rename(journal)


def put_a_file_there(journal: Path) -> None:
    shutil.rmtree(journal.parents[1])
    journal.parents[1].mkdir()


FATES = [delete_folder, delete_results, move_results, delete_first, delete_last, replace_by_copies, put_a_file_there]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "results" / "run" / "journal"


def append(writer: JournalWriter, entries: list[Entry]) -> None:
    for entry in entries:
        writer.append(*entry)


@pytest.mark.attack(
    "the journal is deleted, moved or replaced while it is written",
    "it is written again as a whole before anything is acknowledged",
)
@pytest.mark.parametrize("segment_bytes", [300, 1 << 20], ids=["many segments", "one segment"])
@pytest.mark.parametrize("befalls", FATES, ids=lambda fate: fate.__name__.replace("_", " "))
def test_every_entry_is_found_again_after_the_journal_was_taken_away(
    journal: Path, befalls: Callable[[Path], None], segment_bytes: int
):
    writer = JournalWriter(journal, segment_bytes=segment_bytes)
    append(writer, ENTRIES[:6])
    assert not writer.sync()
    befalls(journal)
    append(writer, ENTRIES[6:8])
    assert writer.sync()
    assert list(read_journal(journal)) == ENTRIES[:8]
    append(writer, ENTRIES[8:])
    assert not writer.sync()
    writer.close()
    assert list(read_journal(journal)) == ENTRIES


def test_a_journal_that_is_taken_away_while_nothing_arrives_is_noticed_too(journal: Path):
    writer = JournalWriter(journal)
    append(writer, ENTRIES)
    writer.sync()
    delete_folder(journal)
    assert writer.sync()
    writer.close()
    assert list(read_journal(journal)) == ENTRIES


def test_segments_of_an_earlier_writer_are_put_back_too(journal: Path):
    earlier = JournalWriter(journal, segment_bytes=300)
    append(earlier, ENTRIES[:6])
    earlier.close()
    writer = JournalWriter(journal, segment_bytes=300)
    delete_folder(journal)
    append(writer, ENTRIES[6:])
    writer.close()
    assert list(read_journal(journal)) == ENTRIES


def test_what_cannot_be_put_back_is_not_called_safe_until_it_can(journal: Path):
    before = psutil.Process().num_fds()
    writer = JournalWriter(journal)
    append(writer, ENTRIES)
    delete_results(journal)
    journal.parents[1].write_text("a file where the folder was")
    for _ in range(3):
        with pytest.raises(StorageError, match="cannot write the journal"):
            writer.sync()
    journal.parents[1].unlink()
    assert writer.sync()
    writer.close()
    assert list(read_journal(journal)) == ENTRIES
    assert psutil.Process().num_fds() == before


def test_a_disk_that_fills_up_while_segments_are_put_back_leaves_nothing_half_written(
    journal: Path, monkeypatch: pytest.MonkeyPatch
):
    writer = JournalWriter(journal)
    append(writer, ENTRIES)
    writer.sync()
    delete_folder(journal)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _full)
        with pytest.raises(StorageError, match="No space left"):
            writer.sync()
    assert not list(journal.iterdir())
    writer.close()
    assert list(read_journal(journal)) == ENTRIES


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_file_system_whose_inode_numbers_change_is_judged_by_names_alone(
    journal: Path, monkeypatch: pytest.MonkeyPatch
):
    """Some file systems in user space number files anew at each look; a double, as none can be had here."""
    real, looks = os.fstat, iter(range(10_000))

    def unsteady(fd: int) -> os.stat_result:
        found = real(fd)
        return os.stat_result([found.st_mode, 10**6 + next(looks), *found[2:]])

    monkeypatch.setattr(os, "fstat", unsteady)
    writer = JournalWriter(journal)
    append(writer, ENTRIES[:6])
    assert not writer.sync()
    delete_last(journal)
    append(writer, ENTRIES[6:])
    assert writer.sync()
    writer.close()
    assert list(read_journal(journal)) == ENTRIES
