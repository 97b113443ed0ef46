"""Announcer: events of one run, numbered, into the stream `events`."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.event import Event, encode_event
from loadstone.locustio.sender import Sender
from loadstone.stream.client import EVENTS
from loadstone.stream.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.event import EventKind

__all__ = ["Announcer"]

_LIMIT_BYTES: Final = 8 * 1024 * 1024
log = logging.getLogger("loadstone.events")


class Announcer:
    """Says what happens to a run. An event that finds no room while the stream is away is logged instead."""

    def __init__(self, redis_url: str, run: str, now_ns: Callable[[], int]) -> None:
        self.run = run
        self._now_ns = now_ns
        self._source = uuid.uuid4().hex
        self._seq = 0
        self._sender = Sender(redis_url, EVENTS, run, Outbox(_LIMIT_BYTES))

    def say(self, kind: EventKind, **data: Any) -> None:
        """Announce one event, now. Returns at once."""
        event = Event(run=self.run, kind=kind, at_ns=self._now_ns(), source=self._source, seq=self._seq, data=data)
        blob = encode_event(event)
        if not self._sender.outbox.fits(len(blob)):
            log.error("run=%s event=%s dropped=yes cause='stream away'", self.run, kind)
            return
        self._seq += 1
        self._sender.put(blob)

    def finish(self, timeout_s: float) -> None:
        """Wait until everything is said, at most ``timeout_s``."""
        self._sender.finish(timeout_s)
