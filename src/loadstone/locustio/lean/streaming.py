"""The body of a response to a request with `stream=True`, read while the scenario asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.locustio.lean.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.locustio.lean.reading import Reader


class BodyStream:
    """A body as it arrives; its connection returns to the pool at the end, or is closed when the stream is dropped."""

    def __init__(self, reader: Reader, release: Callable[[Reader], None], max_bytes: int) -> None:
        self._reader = reader
        self._parts = reader.body()
        self._release = release
        self._max_bytes = max_bytes
        self._released = False

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield what arrives, cut to at most `size` bytes, still compressed if it was; raises as `Reader.body` does."""
        try:
            for part in self._parts:
                for at in range(0, len(part), size):
                    yield part[at : at + size]
        finally:
            self.close()

    def read(self) -> bytes:
        """Give the rest of the body at once, decompressed; raises as `Reader.body` and `decode` do."""
        parts, total = [], 0
        try:
            for part in self._parts:
                total += len(part)
                self._reader.require_size(total)
                parts.append(part)
        finally:
            self.close()
        return decode(b"".join(parts), self._reader.head.encoding, self._max_bytes)

    def close(self) -> None:
        """Give the connection back if all was read, else close it; again is allowed."""
        if not self._released:
            self._released = True
            self._release(self._reader)

    def __del__(self) -> None:
        self.close()
