"""JournalReader: the entries of a journal, in the order in which they were appended; SalvageReader: of a damaged one.

Damage anywhere but in the torn tail of the last segment is an error that names file and offset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadstone.archive.digests import digest_of_bytes
from loadstone.archive.folder import RunFolder
from loadstone.archive.integrity import DamageRecord
from loadstone.archive.journal.frame import Entry, Segment
from loadstone.archive.plain_file import open_plain_file
from loadstone.errors import UnreadableRunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.archive.integrity import FileDigest

__all__ = [
    "JournalReader",
    "SalvageReader",
    "end_of_segment",
    "numbered_segments",
    "problem_with_segment",
    "read_journal",
    "segment_path",
    "segment_paths",
]

_SUFFIX: Final = ".lsj"
_NAME: Final = re.compile(rf"[0-9]{{8}}{re.escape(_SUFFIX)}")


def segment_paths(folder: Path) -> list[Path]:
    """The segments of a journal in order; none when the folder does not exist."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def segment_path(folder: Path, number: int) -> Path:
    """The file of the segment with this number, from 1."""
    return folder / f"{number:08d}{_SUFFIX}"


def end_of_segment(path: Path) -> int:
    """One past the last whole entry of a segment, 0 when there is none; raises `UnreadableRunError` for damage."""
    segment = _segment(path)
    for _ in segment:
        pass
    if problem := _problem(path, segment, is_last=True):
        raise _damage(path, problem)
    return segment.end


def numbered_segments(folder: Path) -> list[Path]:
    """Every segment up to the last one, and of those that are missing in a row the first."""
    paths: list[Path] = []
    expected = 1
    for path in segment_paths(folder):
        if int(path.stem) > expected:
            paths.append(segment_path(folder, expected))
        paths.append(path)
        expected = int(path.stem) + 1
    return paths


def problem_with_segment(path: Path, *, is_last: bool) -> str:
    """What is damaged in a segment, by its own checksums; empty if nothing is. Only the last one may be torn."""
    try:
        segment = _segment(path)
    except UnreadableRunError as error:
        return error.message.split(f"{path} ", 1)[-1]
    for _ in segment:
        pass
    return _problem(path, segment, is_last=is_last)


def _segment(path: Path) -> Segment:
    """A segment, empty if it is missing. Raises `UnreadableRunError` when it cannot be read."""
    try:
        with open_plain_file(path) as file:
            return Segment(file.read())
    except FileNotFoundError:
        return Segment(b"")
    except OSError as error:
        raise _damage(path, f"cannot be read: {error.strerror or error}") from error


def _problem(path: Path, segment: Segment, *, is_last: bool) -> str:
    if segment.is_whole or (is_last and not segment.is_damaged):
        return ""
    return f"is damaged at byte {segment.end}" if path.exists() else "is missing"


def _damage(path: Path, problem: str) -> UnreadableRunError:
    salvage = RunFolder(path.parent.parent).command("recover", "--salvage")
    return UnreadableRunError(
        f"journal segment {path} {problem}",
        hint=f"`{salvage}` writes all entries that are whole to a folder of its own, and says what is missing",
    )


class JournalReader:
    """Iterates over the entries of a journal, any number of times.

    Damage before the torn tail of the last segment raises `UnreadableRunError`. ``digests``: of what was read of each
    segment, by its name, apart from a torn tail.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digests: dict[str, FileDigest] = {}

    def __iter__(self) -> Iterator[Entry]:
        paths = numbered_segments(self._folder)
        for path in paths:
            yield from self._read(path, is_last=path == paths[-1])

    def _read(self, path: Path, *, is_last: bool) -> Iterator[Entry]:
        segment = _segment(path)
        yield from segment
        if problem := _problem(path, segment, is_last=is_last):
            raise _damage(path, problem)
        if path.name not in self.digests:
            self.digests[path.name] = digest_of_bytes(memoryview(segment.data)[: segment.end])


class SalvageReader:
    """Iterates over all entries of a damaged journal that their checksums vouch for, any number of times.

    ``damage``: the parts in which no whole entry was found, and missing segments, complete after iterating.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.damage: list[DamageRecord] = []

    def __iter__(self) -> Iterator[Entry]:
        self.damage.clear()
        for path in numbered_segments(self._folder):
            try:
                segment = _segment(path)
            except UnreadableRunError:
                segment = Segment(b"")
            if not (segment.data or path.is_file()):
                self.damage.append(DamageRecord(file=path.name, start=0, end=None))
                continue
            for found in segment.salvaged():
                if isinstance(found, Entry):
                    yield found
                else:
                    self.damage.append(DamageRecord(file=path.name, start=found.start, end=found.end))


def read_journal(folder: Path) -> Iterator[Entry]:
    """The entries of a journal; see `JournalReader`. A folder that does not exist has none."""
    return iter(JournalReader(folder))
