"""Sender: blobs go to one stream in order, from a greenlet of its own; while the stream is away they wait, bounded."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Signal

from loadstone.stream.client import FAILURES, connect
from loadstone.stream.outbox import Outbox
from loadstone.stream.producer import add, clock_offset_ms

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["Sender"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 5.0
log = logging.getLogger("loadstone.sender")


class Sender:
    """Sends blobs of one run to one stream, oldest first, each until the stream has it."""

    def __init__(self, redis_url: str, stream: str, run: str, outbox: Outbox | None = None) -> None:
        self._client: Redis = connect(redis_url, timeout_s=_COMMAND_TIMEOUT_S)
        self._stream = stream
        self._run = run
        self.outbox = outbox or Outbox()
        self._wake = Signal()
        self._empty = Signal()
        self._empty.set()
        self._away = False
        self._greenlet = gevent.spawn(self._work)

    def put(self, blob: bytes, samples: int = 0) -> None:
        """Send this when its turn comes. Returns at once."""
        self.outbox.put(blob, samples)
        self._empty.clear()
        self._wake.set()

    def finish(self, timeout_s: float) -> bool:
        """Wait until everything is sent, at most this long, and stop. Whether all was sent."""
        sent = bool(self._empty.wait(timeout=timeout_s))
        self._greenlet.kill()
        self._client.close()
        return sent

    def clock_offset_ms(self, now_ns: int) -> float | None:
        """See `loadstone.stream.producer.clock_offset_ms`; None while the stream is away."""
        if self._away:
            return None
        try:
            return clock_offset_ms(self._client, now_ns)
        except FAILURES:
            return None

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self.outbox:
                self._send_oldest()
            self._empty.set()

    def _send_oldest(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                add(self._client, self._stream, self.outbox.oldest(), run=self._run)
            except FAILURES as error:
                self._note_away(error)
                gevent.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  (jitter)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self.outbox.sent()
                self._note_back()
                return

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("stream=%s state=away error=%r buffering=yes", self._stream, str(error))
        self._away = True

    def _note_back(self) -> None:
        if self._away:
            log.warning("stream=%s state=back waiting=%d", self._stream, len(self.outbox))
        self._away = False
