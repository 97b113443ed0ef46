"""Journal: what the Aggregator got, in order, on disk before it is acknowledged.

The journal is a folder of numbered segments (`loadstone.archive.journal.frame` has their layout). Only its last segment
can end in the middle of an entry, after a power cut; that torn tail was never acknowledged and is cut off when a writer
opens the journal again. Damage anywhere else is an error that names file and offset.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import sync_folder
from loadstone.archive.journal.frame import SEGMENT_MAGIC, Entry, EntryKind, Segment, frame, mark
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SEGMENT_BYTES", "Entry", "EntryKind", "JournalReader", "JournalWriter", "read_journal"]

SEGMENT_BYTES: Final = 64 * 1024 * 1024
_SUFFIX: Final = ".lsj"
_FILE_MODE: Final = 0o644


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"[0-9]*{_SUFFIX}")) if folder.is_dir() else []


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}{_SUFFIX}"


def _damage(path: Path, offset: int) -> ArchiveError:
    return ArchiveError(
        f"journal segment {path} is damaged at byte {offset}",
        hint="`loadstone recover RUN --salvage` leaves out the rest of that segment and says how the ledger is off",
    )


class JournalWriter:
    """Appends entries; the only writer of its folder (hold `RunFolder.lock`).

    `append` first, then apply the entry to the state, then `sync`, and acknowledge only then. After an
    `ArchiveError` of `append` the entry is not in the journal; after one of `sync` all entries appended since the
    last `sync` are kept in memory and written again by the next call, so the writer goes on when there is space again.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._unsynced: list[bytes] = []
        self._rewrite = False
        self._folder_synced = False
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
            existing = _segments(folder)
            self._number = int(existing[-1].stem) if existing else 1
            self._fd, self._offset = self._open(self._number)
            os.fsync(self._fd)
        self._synced = self._marked = self._offset

    def append(self, kind: EntryKind, stream_id: str, blob: bytes) -> None:
        """Put one entry at the end. It is not safe before `sync`. Raises `ArchiveError` when the disk is full."""
        data = frame(Entry(kind, stream_id, blob))
        with _told(self._folder):
            self._restore()
            if self._offset > len(SEGMENT_MAGIC) and self._offset + len(data) > self._segment_bytes:
                self._roll()
            start = self._offset
            if self._marked < self._synced == start:
                data = mark(start) + data
            self._write(data)
        self._marked = max(self._marked, self._synced)
        self._unsynced.append(data)

    def sync(self) -> None:
        """Return when everything appended is on disk; raises `ArchiveError` when that cannot be said."""
        with _told(self._folder):
            self._sync()

    def close(self) -> None:
        """Sync and let go of the file."""
        try:
            self.sync()
            if self._marked < self._synced:
                with suppress(OSError):  # a full disk costs the mark, which only helps to tell damage from a torn tail
                    self._write(mark(self._offset))
                    os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def _sync(self) -> None:
        self._restore()
        if not self._unsynced and self._folder_synced:
            return
        try:
            os.fsync(self._fd)
        except OSError:
            self._rewrite = True  # the kernel may have thrown the pages away and call the next fsync a success
            raise
        if not self._folder_synced:
            sync_folder(self._folder)
            self._folder_synced = True
        self._unsynced.clear()
        self._synced = self._offset

    def _restore(self) -> None:
        if self._rewrite:
            os.ftruncate(self._fd, self._synced)
            self._offset = self._synced
            self._write(b"".join(self._unsynced))
            self._rewrite = False

    def _write(self, data: bytes) -> None:
        try:
            self._offset = _write_all(self._fd, data, self._offset)
        except OSError:
            os.ftruncate(self._fd, self._offset)
            raise

    def _roll(self) -> None:
        self._sync()
        fd, offset = self._open(self._number + 1)
        os.close(self._fd)
        self._number += 1
        self._fd, self._offset = fd, offset
        self._synced = self._marked = offset
        self._folder_synced = False

    def _open(self, number: int) -> tuple[int, int]:
        """File and end of a segment, made if need be, its torn tail cut off."""
        path = _segment(self._folder, number)
        end = _end_of(path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.ftruncate(fd, end)
            if not end:
                end = _write_all(fd, SEGMENT_MAGIC, 0)
        except OSError:
            os.close(fd)
            raise
        return fd, end


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """PointsLease an OSError into an `ArchiveError` that names the journal and what to do."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"cannot write the journal {folder}: {error.strerror or error}",
            hint="Make room; nothing was acknowledged, so the stream still has what is not on disk",
        ) from error


def _write_all(fd: int, data: bytes, offset: int) -> int:
    """Write at an offset and return the end; a kernel that is short of space may take only a part at a time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return offset


def _end_of(path: Path) -> int:
    """One past the last whole entry of a segment, 0 when there is none; raises `ArchiveError` for damage."""
    if not path.exists():
        return 0
    segment = Segment(path.read_bytes())
    for _ in segment:
        pass
    if segment.is_damaged:
        raise _damage(path, segment.end)
    return segment.end


class JournalReader:
    """Iterates over the entries of a journal, in the order in which they were appended.

    Damage before the torn tail of the last segment raises `ArchiveError`. With ``salvage`` the rest of the damaged
    segment is left out instead, and one sentence for each is put into ``damage``.
    """

    def __init__(self, folder: Path, *, salvage: bool = False) -> None:
        self._folder = folder
        self._salvage = salvage
        self.damage: list[str] = []

    def __iter__(self) -> Iterator[Entry]:
        self.damage.clear()
        last = max((int(path.stem) for path in _segments(self._folder)), default=0)
        for number in range(1, last + 1):
            yield from self._read(_segment(self._folder, number), is_last=number == last)

    def _read(self, path: Path, *, is_last: bool) -> Iterator[Entry]:
        segment = Segment(path.read_bytes() if path.exists() else b"")
        yield from segment
        if segment.is_whole or (is_last and not segment.is_damaged):
            return
        self._report(_damage(path, segment.end))

    def _report(self, damage: ArchiveError) -> None:
        if not self._salvage:
            raise damage
        self.damage.append(damage.message)


def read_journal(folder: Path, *, salvage: bool = False) -> Iterator[Entry]:
    """The entries of a journal; see `JournalReader`. A folder that is not there has none."""
    return iter(JournalReader(folder, salvage=salvage))
