"""Responses made by a fuzzer: the reader never hangs, never raises anything but its own errors, never invents success.

`Feed` stands for a connection, which cannot deliver chosen bytes in chosen pieces thousands of times a second.
"""

from __future__ import annotations

import contextlib
from itertools import pairwise
from time import perf_counter_ns
from typing import Any

import pytest
from geventhttpclient._parser import HTTPParseError
from geventhttpclient.response import HTTPResponse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadstone.lean.decoding import decode
from loadstone.lean.errors import LeanRequestError
from loadstone.lean.http1 import Limits, Reader, parse_head, recall

LIMITS = Limits(read_ns=10**9, response_ns=60 * 10**9, max_head_bytes=65_536, max_body_bytes=1_000_000)


class Feed:
    """Gives the pieces of a response and then the end of the stream; counts reads, so that a hang is seen."""

    def __init__(self, pieces: Any) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.reads_after_end = 0

    def limit(self, deadline_ns: Any):
        assert deadline_ns > 0

    def read(self):
        if self.pieces:
            return self.pieces.pop(0)
        self.reads_after_end += 1
        assert self.reads_after_end < 2, "read on after the end of the stream"
        return b""


def cut(data: bytes, places: Any):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def read(data: bytes, places: Any = (), *, head_only: Any = False):
    """Give (status, body, reusable) or the name of the error."""
    feed = Feed(cut(data, places))
    first = feed.pieces.pop(0) if feed.pieces else b""
    if not first:
        return "nothing"
    try:
        reader = Reader(feed, first, LIMITS, start_ns=perf_counter_ns(), head_only=head_only)
        body = reader.collect()
    except LeanRequestError as error:
        return type(error).__name__
    return reader.head.status, body, reader.reusable


def chunked(parts: Any, extension: Any = b""):
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part) + b"0\r\n\r\n"


tokens = st.text("abcdefghijklmnopqrstuvwxyzABCDEFXYZ0123456789-_!#", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte == 9 or 32 <= byte != 127).strip())
framing = {b"content-length", b"transfer-encoding", b"connection", b"content-encoding"}
fields = st.lists(st.tuples(tokens.filter(lambda name: name.lower() not in framing), values), max_size=6)
places = st.lists(st.integers(0, 400), max_size=8)
PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 100 Continue\r\n"),
    *(
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"content-length:",
        b"Content-Length: 99999999999999999999\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n"),
    *(b"HTTP/1.1 ", b"200", b" ", b"\n", b"\r", b"\r\n", b":", b"\x00", b"\xff", b" folded\r\n"),
    *(b"3\r\n", b"abc", b"0\r\n", b"ffffffff\r\n", b"-1\r\n", b";ext\r\n"),
]
nonsense = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))


@given(st.sampled_from([200, 201, 206, 302, 404, 500, 599, 999]), fields, st.binary(max_size=300), places)
def test_a_well_formed_response_with_a_length_is_read_exactly(status: int, headers: Any, body: bytes, at: Any):
    head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    data = b"HTTP/1.1 %d Any Reason\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, len(body), body)
    assert read(data, at) == (status, body, True)
    assert read(data + b"x", at)[:2] == (status, body)


@given(fields, st.lists(st.binary(max_size=80), max_size=6), places, st.sampled_from([b"", b";a=b", b' ; q="x"']))
def test_a_well_formed_chunked_response_is_read_exactly(headers: Any, parts: Any, at: Any, extension: Any):
    head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    data = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (head, chunked(parts, extension))
    assert read(data, at) == (200, b"".join(parts), True)


@given(st.binary(max_size=300), places)
def test_a_body_until_close_is_read_to_the_end_and_ends_the_connection(body: bytes, at: Any):
    assert read(b"HTTP/1.1 200 OK\r\n\r\n" + body, at) == (200, body, False)


@given(st.binary(min_size=1, max_size=300), places, st.data())
def test_a_response_cut_off_anywhere_is_never_a_success(body: bytes, at: Any, data: bytes):
    for whole in (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([body]),
    ):
        end = data.draw(st.integers(1, len(whole) - 1))
        assert read(whole[:end], at) == "ConnectionClosedError"


@settings(max_examples=1000)
@given(data=nonsense, at=places, head_only=st.booleans())
@example(data=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", at=[], head_only=False)
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", at=[5], head_only=False)
def test_nonsense_ends_in_a_response_or_in_one_of_the_client_s_own_errors(data: bytes, at: Any, head_only: Any):
    outcome = read(data, at, head_only=head_only)
    assert outcome == read(data, (), head_only=head_only), "the outcome depends on how the bytes were cut"
    if not isinstance(outcome, str):
        assert data.startswith(b"HTTP/1.")


@settings(max_examples=1000)
@given(nonsense)
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
def test_what_llhttp_refuses_as_malformed_is_never_a_success(data: bytes):
    """llhttp, the parser of Node and of geventhttpclient, is the second opinion; it may be stricter where listed."""
    parser, refused = HTTPResponse(), False
    with contextlib.suppress(Exception):
        try:
            parser.feed(data)
        except HTTPParseError:
            refused = True
    outcome = read(data)
    if not refused or isinstance(outcome, str) or parser.message_complete:
        return
    status, body, reusable = outcome
    tolerated = (
        not reusable  # both framings at once, or garbage after the end: read by the rules, then closed
        or status == 204
        or b"\r\n " in data  # a folded field, which RFC 9112 section 5.2 asks clients to accept
        or data.count(b"ontent-") > 1  # the same length twice, which section 6.3 allows to accept
    )
    assert tolerated, (status, body)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "gzip, br", "x-gzip", "zstd", ", ,"]))
def test_any_body_decodes_or_fails_with_the_client_s_own_error(body: bytes, encoding: str):
    with contextlib.suppress(LeanRequestError):
        assert len(decode(body, encoding, 10_000)) <= 10_000


@given(st.binary(max_size=2000), st.integers(1, 30))
def test_a_compressed_body_cut_off_is_never_a_success(body: bytes, missing: Any):
    import gzip
    import zlib

    import brotli

    for coding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)):
        whole = compress(body)
        assert decode(whole, coding, 10_000) == body
        if len(whole) - missing > 0:
            with pytest.raises(LeanRequestError):
                decode(whole[:-missing], coding, 10_000)


def test_a_head_is_remembered_and_one_that_sets_cookies_is_not():
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Test: remembered\r\n\r\n"
    assert recall(plain) is None
    assert parse_head(plain) is recall(plain)
    cookie = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n\r\n"
    parse_head(cookie)
    assert recall(cookie) is None


def test_a_server_that_never_repeats_a_head_cannot_fill_the_memory():
    from loadstone.lean import http1

    for number in range(3 * http1.REMEMBERED_HEADS):
        parse_head(b"HTTP/1.1 200 OK\r\nX-Id: %d\r\n\r\n" % number)
    assert len(http1._remembered) <= http1.REMEMBERED_HEADS
