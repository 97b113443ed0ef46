"""Encoded bodies, decompressed at once or piece by piece (RFC 9110 section 8.4.1)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import brotli

from loadstone.lean.errors import BodyDecodeError, ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 31, 15, -15  # zlib's wbits
WINDOW_BYTES = 2  # what tells a zlib header from bare deflate
CUT_OFF = "the compressed stream is cut off"
ALIASES = {"x-gzip": "gzip", "identity": ""}


def decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Give the body without the encodings that the header names, applied last first; unknown ones end the list.

    Raises BodyDecodeError for a body that is damaged or cut off, ResponseTooLargeError beyond `max_bytes`.
    """
    if not body:
        return body
    for coding in codings(encoding):
        body = _decode_one(body, coding, max_bytes)
    return body


def decode_pieces(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Give what arrives in `parts` without the encodings that the header names, as soon as it can be decoded.

    The iterator raises BodyDecodeError for a body that is damaged or cut off.
    """
    for coding in codings(encoding):
        parts = _decode_as_it_comes(parts, coding)
    return parts


def codings(encoding: str) -> list[str]:
    """Give the encodings of a Content-Encoding header that can be undone, the last applied first."""
    known = []
    for name in reversed(encoding.split(",")):
        coding = ALIASES.get(name.strip(), name.strip())
        if coding and coding not in {"gzip", "deflate", "br"}:
            break
        if coding:
            known.append(coding)
    return known


def _decode_as_it_comes(parts: Iterator[bytes], coding: str) -> Iterator[bytes]:
    decoder = _Unbrotli() if coding == "br" else _Inflating(coding)
    try:
        for part in parts:
            if plain := decoder.feed(part):
                yield plain
        decoder.finish()
    except (zlib.error, brotli.error) as error:
        raise _damaged(coding, error) from error


class _Inflating:
    def __init__(self, coding: str) -> None:
        self._gzip = coding == "gzip"
        self._inflater: Any = None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        plain = b""
        data = self._held + data
        self._held = b""
        while data:
            if self._inflater is None and len(data) < WINDOW_BYTES and not self._gzip:
                self._held = data
                break
            if self._inflater is None:
                self._inflater = zlib.decompressobj(GZIP_WINDOW if self._gzip else _deflate_window(data))
            plain += self._inflater.decompress(data)
            data = self._inflater.unused_data
            if not (self._gzip and self._inflater.eof and data):
                break
            self._inflater = None
        return plain

    def finish(self) -> None:
        if self._held or (self._inflater is not None and not self._inflater.eof):
            raise zlib.error(CUT_OFF)


class _Unbrotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        self._begun = True
        return bytes(self._decoder.process(data))

    def finish(self) -> None:
        if self._begun and not self._decoder.is_finished():
            raise brotli.error(CUT_OFF)


def _damaged(coding: str, error: Exception) -> BodyDecodeError:
    return BodyDecodeError(f"the body is not the {coding} that Content-Encoding says", str(error))


def _decode_one(body: bytes, coding: str, max_bytes: int) -> bytes:
    try:
        if coding == "br":
            return _unbrotli(body, max_bytes)
        if coding == "gzip":
            return _inflate_members(body, max_bytes)
        return _inflate(zlib.decompressobj(_deflate_window(body)), body, max_bytes)
    except (zlib.error, brotli.error) as error:
        raise _damaged(coding, error) from error


def _deflate_window(body: bytes) -> int:
    """A zlib header (RFC 1950) has method 8 and a check on its first two bytes; some servers send bare deflate."""
    wrapped = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0  # noqa: PLR2004
    return ZLIB_WINDOW if wrapped else RAW_WINDOW


def _inflate(inflater: Any, body: bytes, max_bytes: int) -> bytes:
    plain: bytes = inflater.decompress(body, max_bytes + 1)
    if len(plain) > max_bytes:
        raise ResponseTooLargeError(f"the decoded body of the response exceeds {max_bytes} bytes")
    if not inflater.eof:
        raise zlib.error(CUT_OFF)
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
        raise brotli.error(CUT_OFF)
    return bytes(plain)
