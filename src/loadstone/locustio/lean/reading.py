"""Reading one response off a connection (RFC 9112 sections 2 to 7), with a limit on every size and time.

`Reader` yields the body piece by piece, so that streaming and collecting share one implementation. It never reads past
what the connection delivered for this response; bytes beyond its end make the connection unfit for another request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.locustio.lean.connection import NS, Connection
from loadstone.locustio.lean.errors import (
    ConnectionClosedError,
    MalformedResponseError,
    ReadTimeoutError,
    ResponseTooLargeError,
)
from loadstone.locustio.lean.head import CHUNKED, INFORMATIONAL, UNTIL_CLOSE, Head, parse_head, reject_bad_start, show

if TYPE_CHECKING:
    from collections.abc import Iterator

END_OF_HEAD = b"\r\n\r\n"
MAX_CHUNK_LINE = 4_096
CHUNK_SIZE_DIGITS = 15
HEX = frozenset(b"0123456789abcdefABCDEF")
SWITCHING_PROTOCOLS = 101
MAX_INFORMATIONAL = 100
"""How many 1xx responses may precede the final one; a server that sends more never answers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a response may cost: times in ns, sizes in bytes.

    `read_ns` bounds each silence, `response_ns` the whole response; `max_body_bytes` holds before and after decoding.
    """

    read_ns: int
    response_ns: int
    max_head_bytes: int
    max_body_bytes: int
    first_wait_ns: int = field(init=False)
    """How long a response may take to begin: the shorter of both times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_wait_ns", min(self.read_ns, self.response_ns))


class Reader:
    """Reads one response, of which `data` has arrived already."""

    __slots__ = ("_connection", "_data", "_head_only", "_latest_ns", "_limits", "complete", "head")

    def __init__(
        self, connection: Connection, data: bytes, limits: Limits, *, start_ns: int, head_only: bool = False
    ) -> None:
        self._connection = connection
        self._data = data
        self._limits = limits
        self._latest_ns = start_ns + limits.response_ns
        self._head_only = head_only
        self.complete = False
        self.head = self._read_head()

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request: all was read, nothing came after, no one closes."""
        return self.complete and not self._data and not self.head.closes

    def body(self) -> Iterator[bytes]:
        """Yield the pieces of the body as they arrive, without its chunked framing.

        Raises MalformedResponseError, ResponseTooLargeError, ConnectionClosedError, ReadTimeoutError and OSError.
        """
        length = 0 if self._head_only else self.head.length
        if length == CHUNKED:
            yield from self._chunks()
        elif length == UNTIL_CLOSE:
            yield from self._until_close()
        else:
            self.require_size(length)
            yield from self._exactly(length)
        self.complete = True

    def collect(self) -> bytes:
        """Give the whole body; raises as `body` does, and ResponseTooLargeError above the limit."""
        parts, size = [], 0
        for part in self.body():
            parts.append(part)
            size += len(part)
            self.require_size(size)
        return b"".join(parts)

    def require_size(self, size: int) -> None:
        """Raise ResponseTooLargeError for a body of more bytes than allowed."""
        if size > self._limits.max_body_bytes:
            raise ResponseTooLargeError(f"the body of the response exceeds {self._limits.max_body_bytes} bytes")

    def _read_head(self) -> Head:
        for _ in range(MAX_INFORMATIONAL):
            head = self._read_one_head()
            if head.status not in INFORMATIONAL:
                return head
            if head.status == SWITCHING_PROTOCOLS:
                raise MalformedResponseError("malformed response: 101 Switching Protocols, which nobody asked for")
        raise MalformedResponseError("malformed response: more than 100 informational (1xx) responses")

    def _read_one_head(self) -> Head:
        checked = 0
        while (end := self._data.find(END_OF_HEAD, max(0, checked - 3))) < 0:
            reject_bad_start(self._data, checked)
            checked = len(self._data)
            self._require_head_size(checked)
            self._more("in the head of the response" if checked else "before the first byte of a response")
        end += len(END_OF_HEAD)
        self._require_head_size(end)
        raw, self._data = self._data[:end], self._data[end:]
        return parse_head(raw)

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            part, self._data = self._data[:length], self._data[length:]
            length -= len(part)
            if part:
                yield part
            if length:
                self._more("before the end of the body")

    def _until_close(self) -> Iterator[bytes]:
        while True:
            if self._data:
                yield self._data
            self._data = self._next()
            if not self._data:
                return

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            self.require_size(size)
            yield from self._exactly(size)
            if self._line(2) != b"":
                raise MalformedResponseError("malformed response: a chunk is longer than its size says")
        trailer_bytes = 0
        while line := self._line(MAX_CHUNK_LINE):
            trailer_bytes += len(line)
            self._require_head_size(trailer_bytes)

    def _chunk_size(self) -> int:
        digits = self._line(MAX_CHUNK_LINE).partition(b";")[0].rstrip(b" \t")
        if not 0 < len(digits) <= CHUNK_SIZE_DIGITS or not HEX.issuperset(digits):
            raise MalformedResponseError("malformed response: bad chunk size", show(digits))
        return int(digits, 16)

    def _line(self, limit: int) -> bytes:
        while (end := self._data.find(b"\r\n")) < 0 and len(self._data) < limit:
            self._more("before the end of the body")
        if not 0 <= end <= limit or b"\n" in self._data[:end]:
            raise MalformedResponseError("malformed response: bad line in a chunked body", show(self._data))
        line, self._data = self._data[:end], self._data[end + 2 :]
        return line

    def _more(self, where: str) -> None:
        data = self._next()
        if not data:
            raise ConnectionClosedError(f"the server closed the connection {where}")
        self._data += data

    def _next(self) -> bytes:
        now_ns = perf_counter_ns()
        if now_ns >= self._latest_ns:
            raise ReadTimeoutError(
                f"timed out: the response was not complete after {self._limits.response_ns / NS:g} s"
            )
        self._connection.limit(min(now_ns + self._limits.read_ns, self._latest_ns))
        return self._connection.read()

    def _require_head_size(self, size: int) -> None:
        if size > self._limits.max_head_bytes:
            raise ResponseTooLargeError(f"the head of the response exceeds {self._limits.max_head_bytes} bytes")
