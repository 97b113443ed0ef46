"""Bodies of responses: streamed ones, read while the scenario asks for them, and encoded ones, decompressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import brotli

from loadstone.lean.errors import BodyDecodeError, ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.lean.http1 import Reader


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
        """Give the connection back if all was read, else close it; closing again does nothing."""
        if not self._released:
            self._released = True
            self._release(self._reader)

    def __del__(self) -> None:
        self.close()


GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 31, 15, -15  # zlib's wbits
ALIASES = {"x-gzip": "gzip", "identity": ""}


def decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Give the body without the encodings that the header names, applied last first; unknown ones end the list.

    Raises BodyDecodeError for a body that is damaged or cut off, ResponseTooLargeError beyond `max_bytes`.
    """
    if not body:
        return body
    for name in reversed(encoding.split(",")):
        coding = ALIASES.get(name.strip(), name.strip())
        if coding and coding not in {"gzip", "deflate", "br"}:
            break
        if coding:
            body = _decode_one(body, coding, max_bytes)
    return body


def _decode_one(body: bytes, coding: str, max_bytes: int) -> bytes:
    try:
        if coding == "br":
            return _unbrotli(body, max_bytes)
        if coding == "gzip":
            return _inflate_members(body, max_bytes)
        return _inflate(zlib.decompressobj(_deflate_window(body)), body, max_bytes)
    except (zlib.error, brotli.error) as error:
        raise BodyDecodeError(f"the body is not the {coding} that Content-Encoding says", str(error)) from error


def _deflate_window(body: bytes) -> int:
    """A zlib header (RFC 1950) has method 8 and a check on its first two bytes; some servers send bare deflate."""
    wrapped = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0  # noqa: PLR2004
    return ZLIB_WINDOW if wrapped else RAW_WINDOW


def _inflate(inflater: Any, body: bytes, max_bytes: int) -> bytes:
    plain: bytes = inflater.decompress(body, max_bytes + 1)
    if len(plain) > max_bytes:
        raise ResponseTooLargeError(f"the decoded body of the response exceeds {max_bytes} bytes")
    if not inflater.eof:
        raise zlib.error("the compressed stream is cut off")
    return plain


def _inflate_members(body: bytes, max_bytes: int) -> bytes:
    """Give the content of all members of a gzip body (RFC 1952 section 2.2)."""
    plain = b""
    while body:
        inflater = zlib.decompressobj(GZIP_WINDOW)
        plain += _inflate(inflater, body, max_bytes - len(plain))
        body = inflater.unused_data
    return plain


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    plain = decoder.process(body, output_buffer_limit=max_bytes + 1)
    if len(plain) > max_bytes:
        raise ResponseTooLargeError(f"the decoded body of the response exceeds {max_bytes} bytes")
    if not decoder.is_finished():
        raise brotli.error("the compressed stream is cut off")
    return bytes(plain)
