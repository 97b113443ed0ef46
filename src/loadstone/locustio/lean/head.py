"""The head of a response: status line and fields, judged strictly by RFC 9112, and what they say about the body.

`parse_head` is pure: the same bytes give the same `Head`. `recall` exploits that: servers send the same head again and
again (only `Date` changes, once a second), so most responses cost one dictionary look-up instead of a parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadstone.locustio.lean.errors import MalformedResponseError

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n")
PREFIX = b"HTTP/1."
BARE_LF = re.compile(rb"(?<!\r)\n")
FOLD = re.compile(rb"\r\n[ \t]+")
LENGTH = re.compile(r"[0-9]{1,18}")

UNTIL_CLOSE = -1
"""Value of `Head.length` for a body that only the end of the connection delimits."""
CHUNKED = -2
"""Value of `Head.length` for a body in chunks."""

INFORMATIONAL = range(100, 200)
SUCCESS = frozenset((200, 201, 202, 203, 204, 206))
BODYLESS = frozenset((204, 304))  # RFC 9110 sections 15.3.5 and 15.4.5
REMEMBERED_HEADS = 512
REMEMBERED_HEAD_BYTES = 4_096


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


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One parsed head; `length` is bytes, UNTIL_CLOSE or CHUNKED, and 0 where the status forbids a body."""

    status: int
    reason: str
    headers: ResponseHeaders
    length: int
    closes: bool
    encoding: str
    sets_cookies: bool
    ordinary: bool
    """Whether it is a success that neither redirects nor sets cookies."""


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
    reject_bad_start(raw)
    line = STATUS_LINE.match(raw)
    if line is None:
        raise MalformedResponseError("malformed response: bad status line", show(raw))
    headers = ResponseHeaders(_fields(raw, line.end()))
    status = int(line[2])
    length, sound = _framing(status, headers)
    return Head(
        status=status,
        reason=(line[3] or b"").decode("latin-1"),
        headers=headers,
        length=length,
        closes=not sound or length == UNTIL_CLOSE or _closes(line[1] == b"1", headers),
        encoding=headers.get("content-encoding", "").strip().lower(),
        sets_cookies="set-cookie" in headers,
        ordinary=status in SUCCESS and "set-cookie" not in headers,
    )


def _fields(raw: bytes, start: int) -> tuple[tuple[str, str], ...]:
    block = FOLD.sub(b" ", raw[start:-2]) if b"\r\n " in raw or b"\r\n\t" in raw else raw[start:-2]
    pairs, at = [], 0
    while at < len(block):
        field = FIELD.match(block, at)
        if field is None:
            raise MalformedResponseError("malformed response: bad header field", show(block[at:]))
        pairs.append((field[1].decode("ascii"), field[2].decode("latin-1")))
        at = field.end()
    return tuple(pairs)


def _framing(status: int, headers: ResponseHeaders) -> tuple[int, bool]:
    """Give the length (RFC 9112 section 6.3) and whether the connection can be trusted after this message."""
    coding = headers.get("transfer-encoding")
    length = _content_length(headers)
    if status in BODYLESS or status in INFORMATIONAL:
        return 0, coding is None
    if coding is not None:
        if coding.strip().lower() != "chunked":
            raise MalformedResponseError("malformed response: only the transfer coding 'chunked' can be read", coding)
        return CHUNKED, length is None
    return (UNTIL_CLOSE if length is None else length), True


def _content_length(headers: ResponseHeaders) -> int | None:
    value = headers.get("content-length")
    if value is None:
        return None
    lengths = {part.strip() for part in value.split(",")}
    length = lengths.pop()
    if lengths or not LENGTH.fullmatch(length):
        raise MalformedResponseError("malformed response: Content-Length is not one decimal number", value[:60])
    return int(length)


def _closes(http_1_1: bool, headers: ResponseHeaders) -> bool:  # noqa: FBT001  # positional in one place
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    return "close" in options or not (http_1_1 or "keep-alive" in options)
