"""Errors of a disk: each says cause and cure, and the journal goes on exactly where it was once the disk takes more.

The kernel's answers are doubles here; real disks that are full, broken or read-only are in
`tests/services/test_storage_trouble.py`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.archive.journal.writer import JournalWriter
from loadstone.errors import ExitCode, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRIES = [Entry(EntryKind.SAMPLES, f"{number}-0", bytes([number]) * 100) for number in range(6)]
CURES = {
    errno.ENOSPC: "Free some disk space",
    errno.EDQUOT: "quota raised",
    errno.EROFS: "Mount the file system for writing again",
    errno.EACCES: "Let this user write there",
    errno.EIO: "errors of the disk",
}


def failing(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


def append_and_sync(writer: JournalWriter, entry: Entry) -> None:
    writer.append(*entry)
    writer.sync()


@pytest.mark.attack(
    "a write or a sync of the journal fails",
    "the error names cause and cure, and the journal goes on exactly where it was",
)
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
@pytest.mark.parametrize("number", CURES, ids=errno.errorcode.__getitem__)
def test_a_journal_goes_on_where_it_was_after_a_disk_took_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
):
    writer = JournalWriter(tmp_path)
    for entry in ENTRIES[:2]:
        writer.append(*entry)
    writer.sync()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(StorageError, match=os.strerror(number)) as error:
            append_and_sync(writer, ENTRIES[2])
    assert CURES[number] in error.value.hint
    assert "still in the stream" in error.value.hint
    assert error.value.exit_code is ExitCode.PLATFORM
    kept = ENTRIES[: 3 if call == "fsync" else 2]
    for entry in ENTRIES[len(kept) :]:
        writer.append(*entry)
    writer.close()
    assert list(read_journal(tmp_path)) == ENTRIES


def test_a_disk_without_inodes_is_told_from_one_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.statvfs(tmp_path)
    without = os.statvfs_result([*real[:5], 100, 0, 0, *real[8:]])
    monkeypatch.setattr(os, "statvfs", lambda _: without)
    writer = JournalWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(errno.ENOSPC))
        with pytest.raises(StorageError, match="no inode is left on its disk") as error:
            writer.append(*ENTRIES[0])
    assert "Delete some files there" in error.value.hint
    writer.close()


def test_what_keeps_every_run_from_being_written_is_told_from_what_is_wrong_with_one(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as everywhere:
        RunFolder(tmp_path / "file" / "run").create()
    assert everywhere.value.everywhere
    (tmp_path / "journal").write_text("")
    with pytest.raises(StorageError) as here:
        JournalWriter(tmp_path / "journal")
    assert not here.value.everywhere
