"""events.jsonl: one event as one line of JSON, written when a run is closed and read again from a closed run."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from loadstone.archive.lifecycle import masked
from loadstone.domain.event import Event, EventKind, payload_of
from loadstone.domain.time import iso
from loadstone.errors import FormatError

__all__ = ["decode_event_line", "event_line"]


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    at_ns: int
    kind: EventKind
    source: str
    seq: int
    data: dict[str, Any]


_LINE: Final = msgspec.json.Decoder(_Line)


def event_line(event: Event) -> str:
    """The line of an event, with secrets masked."""
    return json.dumps(
        {
            "at": iso(event.at_ns),
            "at_ns": event.at_ns,
            "kind": event.kind,
            "source": event.source,
            "seq": event.seq,
            "data": msgspec.to_builtins(masked(event.payload)),
        }
    ) + "\n"  # fmt: skip


def decode_event_line(line: bytes, run: str) -> Event:
    """The event of a run in a line. Raises `ValueError` when the line holds none."""
    found = _LINE.decode(line)
    try:
        payload = payload_of(found.kind, found.data)
    except FormatError as error:
        raise ValueError(str(error)) from error
    return Event(run=run, at_ns=found.at_ns, source=found.source, seq=found.seq, payload=payload)
