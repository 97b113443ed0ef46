"""HTTP/1.1 responses as they arrive: the head, judged strictly by RFC 9112, and the body that it announces.

`Reader` reads one response from a connection. `parse_head` is pure: the same bytes give the same `Head`. `recall` makes
use of that: servers send the same head again and again (only `Date` changes, once a second), so most responses cost one
dictionary look-up instead of a parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.domain.time import NS_PER_S
from loadstone.lean.errors import ConnectionClosedError, MalformedResponseError, ReadTimeoutError, ResponseTooLargeError

if TYPE_CHECKING:
    from loadstone.lean.connection import Connection

_FIELD_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n((?:" + _FIELD_LINE + rb")*+)\r\n"
)
"""A whole head: HTTP minor version, status, reason phrase, and all fields in one piece."""
DECISIVE = re.compile(
    rb"^(content-(?:length|encoding)|transfer-encoding|connection|set-cookie):([^\r]*+)", re.IGNORECASE | re.MULTILINE
)
"""The fields that decide how the body is read and what becomes of the connection."""
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
FIELD = re.compile(_FIELD_LINE)
PREFIX = b"HTTP/1."
BARE_LF = re.compile(rb"(?<!\r)\n")
FOLD = re.compile(rb"\r\n[ \t]+")
LENGTH = re.compile(rb"[0-9]{1,18}")

UNTIL_CLOSE = -1
"""Value of `Head.length` for a body that only the end of the connection delimits."""
CHUNKED = -2
"""Value of `Head.length` for a body in chunks."""

INFORMATIONAL = range(100, 200)
SUCCESS = frozenset((200, 201, 202, 203, 204, 206))
BODYLESS = frozenset((204, 304))  # RFC 9110 sections 15.3.5 and 15.4.5
REMEMBERED_HEADS = 512
REMEMBERED_HEAD_BYTES = 4_096
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
        """Whether the connection may carry another request: all was read, nothing followed, and neither side closes."""
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
                raise MalformedResponseError("malformed response: 101 Switching Protocols without a request for it")
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
            raise self._took_too_long()
        self._connection.limit(min(now_ns + self._limits.read_ns, self._latest_ns))
        try:
            return self._connection.read()
        except ReadTimeoutError as silent:
            if perf_counter_ns() >= self._latest_ns:
                raise self._took_too_long() from silent
            raise

    def _took_too_long(self) -> ReadTimeoutError:
        seconds = self._limits.response_ns / NS_PER_S
        return ReadTimeoutError(f"timed out: the response was not complete after {seconds:g} s")

    def _require_head_size(self, size: int) -> None:
        if size > self._limits.max_head_bytes:
            raise ResponseTooLargeError(f"the head of the response exceeds {self._limits.max_head_bytes} bytes")


class ResponseHeaders(Mapping[str, str]):
    """The fields of a response: names match in any case, fields of one name are joined with a comma (RFC 9110, 5.3)."""

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, pairs: tuple[tuple[str, str], ...] = ()) -> None:
        self._pairs = pairs
        self._by_name: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._by_name[key] = f"{self._by_name[key]}, {value}" if key in self._by_name else value

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"ResponseHeaders({self._pairs!r})"

    def get_all(self, name: str, default: list[str] | None = None) -> list[str]:
        """Give the values of every field of this name in order, as `Set-Cookie` needs; `default` or [] for none."""
        values = [value for field, value in self._pairs if field.lower() == name.lower()]
        return values or default or []

    getlist = get_all


class Head:
    """One parsed head; `length` is bytes, UNTIL_CLOSE or CHUNKED, and 0 where the status forbids a body."""

    __slots__ = ("_fields", "_headers", "_reason", "closes", "encoding", "length", "ordinary", "sets_cookies", "status")

    def __init__(
        self, status: int, reason: bytes, fields: bytes, decisive: dict[bytes, bytes], *, http_1_1: bool
    ) -> None:
        self._reason, self._fields = reason, fields
        self._headers: ResponseHeaders | None = None
        self.status = status
        self.length, sound = _framing(status, decisive)
        self.closes = not sound or self.length == UNTIL_CLOSE or _closes(http_1_1, decisive.get(b"connection"))
        self.encoding = decisive.get(b"content-encoding", b"").decode("latin-1").lower()
        self.sets_cookies = b"set-cookie" in decisive
        self.ordinary = status in SUCCESS and not self.sets_cookies
        """Whether it is a success that neither redirects nor sets cookies."""

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self._reason.decode("latin-1")

    @property
    def headers(self) -> ResponseHeaders:
        """The fields, taken apart when first asked for."""
        if self._headers is None:
            lines = self._fields.decode("latin-1").split("\r\n")[:-1]
            parted = (line.partition(":") for line in lines)
            self._headers = ResponseHeaders(tuple((name, value.strip(" \t")) for name, _, value in parted))
        return self._headers


_remembered: dict[bytes, Head] = {}
recall = _remembered.get


def parse_head(raw: bytes) -> Head:
    """Parse the bytes of a head up to and with its empty line, remembering the result.

    Raises MalformedResponseError with the rule that the bytes break.
    """
    head = _parse(raw)
    if len(raw) <= REMEMBERED_HEAD_BYTES and not head.sets_cookies and head.status not in INFORMATIONAL:
        if len(_remembered) >= REMEMBERED_HEADS:
            _remembered.clear()
        _remembered[raw] = head
    return head


def reject_bad_start(data: bytes, since: int = 0) -> None:
    """Refuse at once bytes that can never become a head, instead of waiting for an end that will not come.

    `since` bytes of `data` have been judged before. Raises MalformedResponseError.
    """
    if since < len(PREFIX) and data[: len(PREFIX)] != PREFIX[: len(data)]:
        raise MalformedResponseError("malformed response: it does not start with HTTP/1.0 or HTTP/1.1", show(data))
    if BARE_LF.search(data, max(0, since - 1)):
        raise MalformedResponseError("malformed response: a line of the head ends in LF without CR", show(data))


def show(data: bytes) -> str:
    """Give the first bytes of what was received, readable on one line, for an error's `detail`."""
    return repr(data[:60])


def _parse(raw: bytes) -> Head:
    match = HEAD.fullmatch(raw) or HEAD.fullmatch(_unfolded(raw))
    if match is None:
        raise _fault(_unfolded(raw))
    minor, status, reason, fields = match.groups()
    decisive: dict[bytes, bytes] = {}
    for name, value in DECISIVE.findall(fields):
        key = name.lower()
        decisive[key] = decisive[key] + b"," + value.strip() if key in decisive else value.strip()
    return Head(int(status), reason or b"", fields, decisive, http_1_1=minor == b"1")


def _unfolded(raw: bytes) -> bytes:
    """Give the head with folded fields joined (RFC 9112 section 5.2)."""
    line, end, fields = raw.partition(b"\r\n")
    return line + end + FOLD.sub(b" ", fields)


def _fault(raw: bytes) -> MalformedResponseError:
    """Find the rule that a malformed head breaks."""
    reject_bad_start(raw)
    line = STATUS_LINE.match(raw)
    if line is None:
        return MalformedResponseError("malformed response: bad status line", show(raw))
    at = line.end()
    while field := FIELD.match(raw, at):
        at = field.end()
    return MalformedResponseError("malformed response: bad header field", show(raw[at:]))


def _framing(status: int, decisive: dict[bytes, bytes]) -> tuple[int, bool]:
    """Give the length (RFC 9112 section 6.3) and whether the connection can be trusted after this message."""
    coding = decisive.get(b"transfer-encoding")
    length = _content_length(decisive.get(b"content-length"))
    if status in BODYLESS or status in INFORMATIONAL:
        return 0, coding is None
    if coding is not None:
        if coding.lower() != b"chunked":
            raise MalformedResponseError(
                "malformed response: only the transfer coding 'chunked' can be read", show(coding)
            )
        return CHUNKED, length is None
    return (UNTIL_CLOSE if length is None else length), True


def _content_length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if LENGTH.fullmatch(value):
        return int(value)
    lengths = {part.strip() for part in value.split(b",")}
    length = lengths.pop()
    if lengths or not LENGTH.fullmatch(length):
        raise MalformedResponseError("malformed response: Content-Length is not one decimal number", show(value))
    return int(length)


def _closes(http_1_1: bool, connection: bytes | None) -> bool:  # noqa: FBT001  # positional in one place
    if connection is None:
        return not http_1_1
    options = {option.strip().lower() for option in connection.split(b",")}
    return b"close" in options or not (http_1_1 or b"keep-alive" in options)
