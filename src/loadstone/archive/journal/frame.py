"""Frame: how one entry is laid out in a journal segment, so that any damaged or missing byte is noticed.

A segment begins with ``LSJ1``. Then come frames: a header of 16 bytes, the stream id and the blob. The header holds
two magic bytes, the entry's kind, the length of the stream id, the length of the blob, the CRC-32 of id and blob, and
the CRC-32 of the header itself, all little-endian. A frame of kind `MARK` has no body; it says that everything before
it was on disk (fsync) when it was written, and where it stands, so that no blob can pass for one.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARK", "SEGMENT_MAGIC", "Entry", "EntryKind", "Gap", "Segment", "frame", "mark"]

SEGMENT_MAGIC: Final = b"LSJ1"
MARK: Final = 0
_MAGIC: Final = b"\xa7J"
_HEADER: Final = struct.Struct("<2sBBII")
_CRC: Final = struct.Struct("<I")
_SIZE: Final = _HEADER.size + _CRC.size
_ID_LIMIT: Final = 255
_U32: Final = 0xFFFFFFFF


class EntryKind(IntEnum):
    """What a journal entry's blob is."""

    SAMPLES = 1  # an encoded Batch
    EVENTS = 2  # an encoded Event
    USAGE = 3  # an encoded UsageTick


_HIGHEST_KIND: Final = max(EntryKind)


class Entry(NamedTuple):
    """One entry of a journal: what it is, its id in the stream it came from, and its bytes."""

    kind: EntryKind
    stream_id: str
    blob: bytes


def frame(entry: Entry) -> bytes:
    """The bytes of an entry. Raises `ValueError` for a stream id longer than 255 bytes."""
    stream_id = entry.stream_id.encode()
    if len(stream_id) > _ID_LIMIT:
        raise ValueError(f"stream id of {len(stream_id)} bytes, at most {_ID_LIMIT} are allowed")
    crc = crc32(entry.blob, crc32(stream_id))
    return _header(entry.kind, len(stream_id), len(entry.blob), crc) + stream_id + entry.blob


def mark(offset: int) -> bytes:
    """The bytes of a mark that stands at ``offset`` of its segment."""
    return _header(MARK, 0, 0, offset & _U32)


def _header(kind: int, id_length: int, blob_length: int, crc: int) -> bytes:
    head = _HEADER.pack(_MAGIC, kind, id_length, blob_length, crc)
    return head + _CRC.pack(crc32(head))


class Gap(NamedTuple):
    """A part of a segment in which no whole frame begins: the offsets of its first byte and behind its last one."""

    start: int
    end: int


class Segment:
    """Reads the frames of one segment's bytes. After iterating, ``end`` is one past the last whole frame.

    ``is_damaged`` tells damage from a torn tail: what lies before a mark had been acknowledged, what lies behind the
    last one may have been cut off or left out by a power cut at any place.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.end = 0

    def __iter__(self) -> Iterator[Entry]:
        if not self.data.startswith(SEGMENT_MAGIC):
            return
        self.end = len(SEGMENT_MAGIC)
        while (size := self._frame_size(self.end)) is not None:
            entry = self._entry(self.end, size)
            self.end += size
            if entry is not None:
                yield entry

    @property
    def is_whole(self) -> bool:
        """Whether the last iteration read everything up to the last byte."""
        return bool(self.data) and self.end == len(self.data)

    @property
    def is_damaged(self) -> bool:
        """Whether something that had been on disk is unreadable now, which no power cut explains."""
        return not self.is_whole and (self._has_mark_behind(self.end) or self._has_lost_only_its_magic)

    @property
    def _has_lost_only_its_magic(self) -> bool:
        return self.end == 0 and self._frame_size(len(SEGMENT_MAGIC)) is not None

    def salvaged(self) -> Iterator[Entry | Gap]:
        """Every entry that its checksums vouch for, behind damage too, and the gaps between them."""
        at = len(SEGMENT_MAGIC) if self.data.startswith(SEGMENT_MAGIC) else 0
        if not self.data:
            yield Gap(0, 0)
        while at < len(self.data):
            size = self._size_anywhere(at)
            if size is None:
                end = self._next_whole(at)
                yield Gap(at, end)
                at = end
                continue
            entry = self._entry(at, size)
            at += size
            if entry is not None:
                yield entry

    def _next_whole(self, damaged: int) -> int:
        """Where the first whole frame behind a damaged one begins, else the end of the data.

        Where the header of the damaged one is whole, nothing inside its body passes for a frame.
        """
        end = self._claimed_end(damaged)
        if end is not None and (end == len(self.data) or self._size_anywhere(end) is not None):
            return end
        at = self.data.find(_MAGIC, damaged + 1)
        while at >= 0 and self._size_anywhere(at) is None:
            at = self.data.find(_MAGIC, at + 1)
        return len(self.data) if at < 0 else at

    def _size_anywhere(self, at: int) -> int | None:
        """As `_frame_size`, but a mark counts wherever it has moved to."""
        is_mark = self._claimed_end(at) == at + _SIZE and self.data[at + len(_MAGIC)] == MARK
        return _SIZE if is_mark else self._frame_size(at)

    def _claimed_end(self, at: int) -> int | None:
        """Where the frame at an offset ends by its header; None when there is no whole header."""
        head = self.data[at : at + _HEADER.size]
        if len(self.data) < at + _SIZE or _CRC.unpack_from(self.data, at + _HEADER.size)[0] != crc32(head):
            return None
        magic, _, id_length, blob_length, _ = _HEADER.unpack(head)
        return at + _SIZE + id_length + blob_length if magic == _MAGIC else None

    def _has_mark_behind(self, end: int) -> bool:
        at = self.data.find(_MAGIC, end)
        while at >= 0:
            if self.data[at : at + _SIZE] == mark(at):
                return True
            at = self.data.find(_MAGIC, at + 1)
        return False

    def _frame_size(self, at: int) -> int | None:
        """Length of the frame at an offset, or None when there is no whole and undamaged one."""
        end = self._claimed_end(at)
        if end is None or len(self.data) < end:
            return None
        _, kind, _, _, crc = _HEADER.unpack_from(self.data, at)
        expected = at & _U32 if kind == MARK else crc32(memoryview(self.data)[at + _SIZE : end])
        return end - at if crc == expected and kind <= _HIGHEST_KIND else None

    def _entry(self, at: int, size: int) -> Entry | None:
        _, kind, id_length, _, _ = _HEADER.unpack_from(self.data, at)
        if kind == MARK:
            return None
        blob = at + _SIZE + id_length
        stream_id = self.data[at + _SIZE : blob].decode(errors="replace")
        return Entry(EntryKind(kind), stream_id, self.data[blob : at + size])
