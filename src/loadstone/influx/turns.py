"""Turns: when each of the writers of one process reads, so that a write that hangs holds up only what it holds.

They read one after the other, and each writes what it has read. The next one reads when no write is in flight, or when
the newest takes a quarter longer than they usually do. Where all take equally long there is therefore one request at a
time: a second one, sent while InfluxDB syncs its log for the first, would only wait for that, and what comes next would
wait for both.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Turns"]

_WRITES: Final = 9
_PATIENCE: Final = 1.25
_SHORTEST_S, _LONGEST_S = 0.1, 2.0


class Turns:
    """The turns of the threads that write."""

    def __init__(self) -> None:
        self._queue: deque[threading.Event] = deque()
        self._changing = threading.Lock()
        self._in_flight = 0
        self._idle = threading.Event()
        self._idle.set()
        self._begun_s = 0.0
        self._took_s = deque([0.0], maxlen=_WRITES)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Wait for the turn to read, and have it. First come, first served: a lock could leave a writer out."""
        mine = threading.Event()
        with self._changing:
            self._queue.append(mine)
            self._queue[0].set()
        mine.wait()
        try:
            self._idle.wait(max(0.0, self._begun_s + self._patience_s - time.monotonic()))
            yield
        finally:
            with self._changing:
                self._queue.popleft()
                if self._queue:
                    self._queue[0].set()

    def begin(self) -> float:
        """In a turn: a write of what was read begins now. When that is (s)."""
        with self._changing:
            self._in_flight += 1
            self._idle.clear()
            self._begun_s = time.monotonic()
            return self._begun_s

    def end(self, begun_s: float) -> None:
        """The write that began at this moment has ended, whatever became of it."""
        with self._changing:
            self._in_flight -= 1
            self._took_s.append(time.monotonic() - begun_s)
            if not self._in_flight:
                self._idle.set()

    @property
    def _patience_s(self) -> float:
        with self._changing:
            return min(max(_SHORTEST_S, _PATIENCE * median(self._took_s)), _LONGEST_S)
