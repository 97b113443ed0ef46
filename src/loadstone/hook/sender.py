"""Sending to the streams: blobs go out in order, from a greenlet of their own, and wait in a bounded buffer meanwhile.

`EventPublisher` sends events, `Sender` sends blobs to one stream, `Outbox` is where they wait.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Signal

from loadstone.domain.event import Event, encode_event
from loadstone.stream.client import FAILURES, clock_offset_ms, connect
from loadstone.stream.inbox import send
from loadstone.stream.keys import EVENTS
from loadstone.stream.proof import open_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.domain.event import Payload
    from loadstone.stream.proof import RunSecret

__all__ = ["DEFAULT_LIMIT_BYTES", "EventPublisher", "Outbox", "Sender"]

DEFAULT_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""How much an `Outbox` holds by default."""
_EVENTS_LIMIT_BYTES: Final = 8 * 1024 * 1024
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 5.0
log = logging.getLogger("loadstone.sender")


class EventPublisher:
    """Publishes what happens to a run. An event for which the buffer has no room is dropped, and logged.

    ``opens``: it is the one of the run's master, and lets the collector know the run's secret first.
    """

    def __init__(self, redis_url: str, secret: RunSecret, now_ns: Callable[[], int], *, opens: bool = False) -> None:
        self.run = secret.run
        self._now_ns = now_ns
        self._source = uuid.uuid4().hex
        self._seq = 0
        self._sender = Sender(redis_url, EVENTS, secret, Outbox(_EVENTS_LIMIT_BYTES), opens=opens)

    def publish(self, payload: Payload) -> None:
        """Publish an event that happens now. Returns at once."""
        event = Event(run=self.run, at_ns=self._now_ns(), source=self._source, seq=self._seq, payload=payload)
        blob = encode_event(event)
        if not self._sender.outbox.fits(len(blob)):
            log.error(
                "run=%s event=%s dropped=yes cause='the stream cannot be reached and the buffer is full'",
                self.run,
                event.kind,
            )
            return
        self._seq += 1
        self._sender.put(blob)

    def clock_offset_ms(self) -> float | None:
        """How far the clock that dates its events is ahead of the stream server's; None while that is away."""
        return self._sender.clock_offset_ms(self._now_ns)

    def finish(self, timeout_s: float) -> None:
        """Wait until every event is sent, at most ``timeout_s``, and stop."""
        self._sender.finish(timeout_s)


class Sender:
    """Sends blobs of one run towards one stream, oldest first, and retries each until the server has it.

    If it ``opens`` the run, the server gets the run's secret before the first blob, and before the first one after an
    outage, in which the server may have lost it.
    """

    def __init__(
        self, redis_url: str, stream: str, secret: RunSecret, outbox: Outbox | None = None, *, opens: bool = False
    ) -> None:
        self._client: Redis = connect(redis_url, timeout_s=_COMMAND_TIMEOUT_S)
        self._stream = stream
        self._secret = secret
        self._opens = opens
        self._opened = False
        self.outbox = outbox or Outbox()
        self._wake = Signal()
        self._empty = Signal()
        self._empty.set()
        self._unreachable = False
        self._greenlet = gevent.spawn(self._work)

    def put(self, blob: bytes, samples: int = 0) -> None:
        """Send this blob, which holds so many samples, after those before it. Returns at once."""
        self.outbox.put(blob, samples)
        self._empty.clear()
        self._wake.set()

    def finish(self, timeout_s: float) -> bool:
        """Wait until everything is sent, at most ``timeout_s``, and stop. Returns whether all was sent."""
        sent = bool(self._empty.wait(timeout=timeout_s))
        self._greenlet.kill()
        self._client.close()
        return sent

    def clock_offset_ms(self, now_ns: Callable[[], int]) -> float | None:
        """See `loadstone.stream.client.clock_offset_ms`; None while the stream cannot be reached."""
        if self._unreachable:
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
                self._send(self.outbox.oldest())
            except FAILURES as error:
                self._note_failure(error)
                gevent.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  (jitter)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self.outbox.sent()
                self._note_success()
                return

    def _send(self, blob: bytes) -> None:
        if self._opens and not self._opened:
            open_run(self._client, self._secret)
            self._opened = True
        send(self._client, self._stream, blob, self._secret)

    def _note_failure(self, error: Exception) -> None:
        self._opened = False
        if not self._unreachable:
            log.warning("stream=%s state=unreachable error=%r buffering=yes", self._stream, str(error))
        self._unreachable = True

    def _note_success(self) -> None:
        if self._unreachable:
            log.warning("stream=%s state=reachable waiting=%d", self._stream, len(self.outbox))
        self._unreachable = False


class Outbox:
    """A first-in first-out buffer of blobs, bounded by their total size in bytes."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[bytes, int]] = deque()
        self.size_bytes = 0
        self.samples = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def fits(self, size_bytes: int) -> bool:
        """Whether a blob of this size can be taken. An empty outbox takes one of any size."""
        return not self._waiting or self.size_bytes + size_bytes <= self._limit_bytes

    def put(self, blob: bytes, samples: int) -> None:
        """Take a blob that holds this many samples."""
        self._waiting.append((blob, samples))
        self.size_bytes += len(blob)
        self.samples += samples

    def oldest(self) -> bytes:
        """The blob to be sent next."""
        return self._waiting[0][0]

    def sent(self) -> None:
        """Forget the oldest blob: it is in the stream."""
        blob, samples = self._waiting.popleft()
        self.size_bytes -= len(blob)
        self.samples -= samples
