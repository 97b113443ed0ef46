"""Outbox: what waits to be sent while the stream is away. It is bounded; when it is full, it takes no more."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["DEFAULT_LIMIT_BYTES", "Outbox"]

DEFAULT_LIMIT_BYTES: Final = 64 * 1024 * 1024


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
        """Whether a blob of this size can be taken. An empty outbox takes any."""
        return not self._waiting or self.size_bytes + size_bytes <= self._limit_bytes

    def put(self, blob: bytes, samples: int) -> None:
        """Take a blob that carries this many samples."""
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
