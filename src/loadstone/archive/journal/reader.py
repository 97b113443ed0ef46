"""JournalReader: the entries of a journal, in the order in which they were appended.

Damage anywhere but in the torn tail of the last segment is an error that names file and offset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadstone.archive.journal.frame import Entry, Segment
from loadstone.archive.plain_file import check_plain_file, unreadable
from loadstone.errors import ArchiveError, UnreadableRunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["JournalReader", "end_of_segment", "read_journal", "segment_path", "segment_paths"]

_SUFFIX: Final = ".lsj"
_NAME: Final = re.compile(rf"[0-9]{{8}}{re.escape(_SUFFIX)}")


def segment_paths(folder: Path) -> list[Path]:
    """The segments of a journal in order; none when the folder does not exist."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def segment_path(folder: Path, number: int) -> Path:
    """The file of the segment with this number, from 1."""
    return folder / f"{number:08d}{_SUFFIX}"


def end_of_segment(path: Path) -> int:
    """One past the last whole entry of a segment, 0 when there is none; raises `ArchiveError` for damage."""
    if not path.exists():
        return 0
    segment = Segment(_bytes_of(path))
    for _ in segment:
        pass
    if segment.is_damaged:
        raise _damage(path, segment.end)
    return segment.end


def _bytes_of(path: Path) -> bytes:
    hint = "Make it a file that may be read, as it was when it was written"
    try:
        check_plain_file(path, hint)
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, hint) from error


def _damage(path: Path, offset: int) -> ArchiveError:
    return UnreadableRunError(
        f"journal segment {path} is damaged at byte {offset}",
        hint="`loadstone recover RUN --salvage` skips the rest of that segment and counts what is missing",
    )


class JournalReader:
    """Iterates over the entries of a journal, any number of times.

    Damage before the torn tail of the last segment raises `ArchiveError`. With ``salvage`` the rest of the damaged
    segment is skipped instead, and ``damage`` gets one sentence for each such segment.
    """

    def __init__(self, folder: Path, *, salvage: bool = False) -> None:
        self._folder = folder
        self._salvage = salvage
        self.damage: list[str] = []

    def __iter__(self) -> Iterator[Entry]:
        self.damage.clear()
        paths, expected = segment_paths(self._folder), 1
        for path in paths:
            if int(path.stem) > expected:
                self._report(_damage(segment_path(self._folder, expected), 0))
            expected = int(path.stem) + 1
            yield from self._read(path, is_last=path == paths[-1])

    def _read(self, path: Path, *, is_last: bool) -> Iterator[Entry]:
        segment = Segment(_bytes_of(path))
        yield from segment
        if segment.is_whole or (is_last and not segment.is_damaged):
            return
        self._report(_damage(path, segment.end))

    def _report(self, damage: ArchiveError) -> None:
        if not self._salvage:
            raise damage
        self.damage.append(damage.message)


def read_journal(folder: Path, *, salvage: bool = False) -> Iterator[Entry]:
    """The entries of a journal; see `JournalReader`. A folder that does not exist has none."""
    return iter(JournalReader(folder, salvage=salvage))
