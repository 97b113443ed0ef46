"""JournalWriter: what the Aggregator received, in order, on disk before it is acknowledged.

The journal is a folder of numbered segments (`loadstone.archive.journal.frame` has their layout). Only its last segment
can end in the middle of an entry, after a power cut; that torn tail was never acknowledged and is cut off when a writer
opens the journal again. Segments that something else deletes or moves meanwhile are written again from the open files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import sync_folder
from loadstone.archive.journal.frame import SEGMENT_MAGIC, Entry, EntryKind, frame, mark
from loadstone.archive.journal.held import HeldSegments, write_all
from loadstone.archive.journal.reader import end_of_segment, segment_path, segment_paths
from loadstone.archive.storage import storage_error
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SEGMENT_BYTES", "JournalWriter"]

SEGMENT_BYTES: Final = 64 * 1024 * 1024
_FILE_MODE: Final = 0o644
_CLOSED: Final = -1


class JournalWriter:
    """Appends entries; the only writer of its folder (hold `RunFolder.lock`).

    First `append`, then apply the entry to the state, then `sync`, and acknowledge only then. After an `ArchiveError`
    of `append` the entry is not in the journal. After one of `sync`, all entries appended since the last `sync` stay in
    memory and the next call writes them again, so writing continues when there is space again.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._unsynced: list[bytes] = []
        self._rewrite = self._written_again = False
        self._folder_synced = False
        self._segments = HeldSegments(folder)
        with _as_archive_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
            existing = segment_paths(folder)
            self._number = int(existing[-1].stem) if existing else 1
            self._fd, self._offset = self._open(self._number)
            self._sync_opened()
        self._synced = self._marked = self._offset

    def append(self, kind: EntryKind, stream_id: str, blob: bytes) -> None:
        """Add one entry at the end; it is durable after `sync`. Raises `ArchiveError` when the disk is full."""
        data = frame(Entry(kind, stream_id, blob))
        with _as_archive_error(self._folder):
            self._restore()
            if self._offset > len(SEGMENT_MAGIC) and self._offset + len(data) > self._segment_bytes:
                self._roll()
            start = self._offset
            if self._marked < self._synced == start:
                data = mark(start) + data
            self._write(data)
        self._marked = max(self._marked, self._synced)
        self._unsynced.append(data)

    def sync(self) -> bool:
        """Return once everything appended is on disk and can be found there; raises `ArchiveError` if not certain.

        Returns whether segments had been deleted or moved by something else, and were written again.
        """
        with _as_archive_error(self._folder):
            self._sync()
        written_again, self._written_again = self._written_again, False
        return written_again

    def close(self) -> None:
        """Sync and close the file, which is closed even if syncing fails; any later use is an `ArchiveError`."""
        if self._fd == _CLOSED:
            return
        try:
            self.sync()
            if self._marked < self._synced:
                with suppress(OSError):  # without the mark, damage at the end can only be taken for a torn tail
                    self._write(mark(self._offset))
                    os.fsync(self._fd)
        finally:
            with _as_archive_error(self._folder):
                self._close_files()

    def _sync_opened(self) -> None:
        self._segments.hold(self._number, self._fd)
        try:
            self._segments.hold_earlier(self._number)
            os.fsync(self._fd)
        except OSError:
            self._close_files()
            raise

    def _close_files(self) -> None:
        """Close the files and forget their numbers, which the kernel gives to the next files that are opened."""
        self._fd = _CLOSED
        self._segments.close()

    def _put_back(self) -> None:
        for number in self._segments.missing():
            self._written_again = True
            if number == self._number:
                self._fd = self._segments.write_again(number, self._offset)
            else:
                self._segments.write_again(number)

    def _sync(self) -> None:
        self._restore()
        if self._unsynced:
            self._flush()
        self._put_back()
        if not self._folder_synced:
            sync_folder(self._folder)
            self._folder_synced = True
        self._unsynced.clear()
        self._synced = self._offset

    def _flush(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError:
            self._rewrite = True  # the kernel may have thrown the pages away and call the next fsync a success
            raise

    def _restore(self) -> None:
        if self._fd == _CLOSED:
            raise ArchiveError(f"the journal {self._folder} is closed", hint="Open it again with a new writer")
        if self._rewrite:
            os.ftruncate(self._fd, self._synced)
            self._offset = self._synced
            self._write(b"".join(self._unsynced))
            self._rewrite = False

    def _write(self, data: bytes) -> None:
        try:
            self._offset = write_all(self._fd, data, self._offset)
        except OSError:
            os.ftruncate(self._fd, self._offset)
            raise

    def _roll(self) -> None:
        self._sync()
        self._fd, self._offset = self._open(self._number + 1)
        self._number += 1
        self._segments.hold(self._number, self._fd)
        self._synced = self._marked = self._offset
        self._folder_synced = False

    def _open(self, number: int) -> tuple[int, int]:
        """File and end of a segment, created if it is missing, its torn tail cut off."""
        path = segment_path(self._folder, number)
        end = end_of_segment(path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.ftruncate(fd, end)
            if not end:
                end = write_all(fd, SEGMENT_MAGIC, 0)
        except OSError:
            os.close(fd)
            raise
        return fd, end


@contextmanager
def _as_archive_error(folder: Path) -> Iterator[None]:
    """Raise an `ArchiveError` that names the journal and the cure in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise storage_error(f"cannot write the journal {folder}", folder, error) from error
