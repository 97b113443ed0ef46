"""What a journal entry holds: a batch, an event or a usage tick, by the kind of the entry."""

from __future__ import annotations

from typing import TypeAlias

from loadstone.archive.journal.frame import EntryKind
from loadstone.domain.batch import Batch, decode_batch
from loadstone.domain.event import Event, decode_event
from loadstone.domain.usage_tick import UsageTick, decode_usage

__all__ = ["Content", "decode_entry"]

Content: TypeAlias = Batch | Event | UsageTick


def decode_entry(kind: EntryKind, blob: bytes) -> Content:
    """The content of an entry's blob. Raises `FormatError` when the blob is not what its kind says."""
    if kind is EntryKind.SAMPLES:
        return decode_batch(blob)
    return decode_event(blob) if kind is EntryKind.EVENTS else decode_usage(blob)
