"""HeldSegments: the files of a journal, kept open, so that they can be written again when their names are gone.

Someone may delete or move the folder of results during a run. The open files still take what is written, which nobody
would ever find: whoever acknowledges entries asks `missing` first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import sync_folder, temporary_name
from loadstone.archive.journal.reader import segment_path, segment_paths

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HeldSegments", "write_all"]

_BLOCK: Final = 1024 * 1024
_FILE_MODE: Final = 0o644


class HeldSegments:
    """The segments of one journal by number, each with an open file; methods raise `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}
        self._has_steady_inodes = True

    def hold_earlier(self, current: int | None = None) -> None:
        """Open the segments before the ``current`` one (None: all), which are only read."""
        for path in segment_paths(self._folder):
            number = int(path.stem)
            if current is None or number < current:
                self.hold(number, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def hold(self, number: int, file: int) -> None:
        """Keep the file of a segment that was just opened."""
        self._files[number] = file
        self._has_steady_inodes &= self._is_in_place(number)

    def close(self) -> None:
        """Close every file, even if one of them fails; raises the first error."""
        files, self._files = self._files, {}
        errors: list[OSError] = []
        for file in files.values():
            try:
                os.close(file)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def missing(self) -> list[int]:
        """The segments that are no longer at their paths: deleted, moved, or replaced by other files."""
        return [number for number in self._files if not self._is_in_place(number)]

    def _is_in_place(self, number: int) -> bool:
        ours = os.fstat(self._files[number])
        try:
            found = segment_path(self._folder, number).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        is_same = (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino)
        return ours.st_nlink > 0 and (is_same or not self._has_steady_inodes)

    def write_again(self, number: int, size: int | None = None) -> int:
        """Give a missing segment its name back, as a copy of the first ``size`` bytes (None: all); its new file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path, old = segment_path(self._folder, number), self._files[number]
        temporary = temporary_name(path)
        new = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        try:
            _copy(old, new, os.fstat(old).st_size if size is None else size)
            os.fsync(new)
            temporary.replace(path)
        except OSError:
            os.close(new)
            with suppress(OSError):
                temporary.unlink()
            raise
        self._files[number] = new
        os.close(old)
        for folder in (self._folder, *list(self._folder.parents)[:2]):
            sync_folder(folder)
        return new


def _copy(source: int, target: int, size: int) -> None:
    at = 0
    while at < size:
        block = os.pread(source, min(_BLOCK, size - at), at)
        if not block:
            raise OSError(5, "the open file is shorter than what was written to it")
        at = write_all(target, block, at)


def write_all(fd: int, data: bytes, offset: int) -> int:
    """Write at an offset and return the end; a kernel that is short of space may take only part of it at a time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return offset
