"""The client against servers that misbehave on purpose: each ends in a success that is true or a precise failure."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from support.raw_server import reset

if TYPE_CHECKING:
    from support.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def outcome(client: Any, raw: RawServer, *answer: Any, method: str = "GET", **attributes: Any):
    """Give (status, content, error text) of one request to a server that answers with these steps."""
    client = client(raw.answers([raw.take, *answer]), **attributes)
    response = client.request(method, "/", data="x" if method == "POST" else None)
    return response.status_code, response.content, str(response.error or "")


def dripped(data: bytes):
    """Steps that send every byte on its own."""
    return [step for byte in data for step in (bytes([byte]), 0.0005)]


SUCCESSES = {
    "dripped byte by byte": (dripped(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"), 200, b"body"),
    "dripped chunks": (
        dripped(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nT: v\r\n\r\n"),
        200,
        b"body",
    ),
    "no length, until close": ([b"HTTP/1.1 200 OK\r\n\r\nuntil the end"], 200, b"until the end"),
    "no length, HTTP/1.0": ([b"HTTP/1.0 200 OK\r\n\r\nold"], 200, b"old"),
    "100 Continue first": ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, b"ok"),
    "103 Early Hints first, apart": ([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.02, OK], 200, b"ok"),
    "204 with a body": ([b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody"], 204, b""),
    "304 with a body": ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody"], 304, b""),
    "trailing garbage": ([OK + b"garbage"], 200, b"ok"),
    "a second response nobody asked for": ([OK + OK], 200, b"ok"),
    "the same length twice": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
    "chunked wins over a length": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        200,
        b"ok",
    ),
    "no reason phrase": ([b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
    "a folded header": ([b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
    "half-closed after the response": ([OK, lambda sock: sock.shutdown(socket.SHUT_WR), 0.05], 200, b"ok"),
    "length zero": ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], 200, b""),
    "a large head": ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 60_000 + b"\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
}


@pytest.mark.parametrize("case", SUCCESSES)
def test_a_response_that_is_odd_but_whole_succeeds(make_client: Any, raw: RawServer, case: str):
    steps, status, content = SUCCESSES[case]
    assert outcome(make_client, raw, *steps) == (status, content, "")


FAILURES = {
    "nothing": ([], 0, "closed the connection before the first byte"),
    "closed in the head": ([b"HTTP/1.1 200 OK\r\nContent-"], 0, "closed the connection in the head"),
    "closed in the body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"], 200, "before the end of the body"),
    "closed in a chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody"],
        200,
        "before the end of the body",
    ),
    "closed before the last chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"],
        200,
        "before the end of the body",
    ),
    "closed before the end of the trailer": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"],
        200,
        "before the end of the body",
    ),
    "reset": ([reset], 0, "reset by peer"),
    "reset in the body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", 0.05, reset], 200, "reset by peer"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.9\r\n", 5], 0, "does not start with HTTP/1.0 or HTTP/1.1"),
    "HTTP/2": ([b"HTTP/2 200\r\n\r\n"], 0, "does not start with HTTP/1.0 or HTTP/1.1"),
    "HTTP/1.2": ([b"HTTP/1.2 200 OK\r\n\r\n"], 0, "bad status line"),
    "a status of two digits": ([b"HTTP/1.1 20 OK\r\n\r\n"], 0, "bad status line"),
    "a status of letters": ([b"HTTP/1.1 abc OK\r\n\r\n"], 0, "bad status line"),
    "line ends without CR": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 5], 0, "ends in LF without CR"),
    "a header without colon": ([b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"], 0, "bad header field"),
    "a space before the colon": ([b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"], 0, "bad header field"),
    "a NUL in a header": ([b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n"], 0, "bad header field"),
    "a CR in a header": ([b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"], 0, "bad header field"),
    "a length of letters": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"],
        0,
        "Content-Length is not one decimal",
    ),
    "a negative length": ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"], 0, "Content-Length is not one decimal"),
    "a signed length": ([b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"], 0, "Content-Length is not one decimal"),
    "two lengths": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
        0,
        "Content-Length is not one decimal",
    ),
    "an unknown transfer coding": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
        0,
        "only the transfer coding",
    ),
    "a chunk size of letters": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n"],
        200,
        "bad chunk size",
    ),
    "an empty chunk size": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"], 200, "bad chunk size"),
    "a signed chunk size": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n"],
        200,
        "bad chunk size",
    ),
    "a huge chunk size": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"],
        200,
        "bad chunk size",
    ),
    "a chunk longer than it says": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nmore\r\n0\r\n\r\n"],
        200,
        "a chunk is longer than its size says",
    ),
    "a chunk size without end": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000],
        200,
        "bad line",
    ),
    "only informational responses": ([b"HTTP/1.1 100 Continue\r\n\r\n" * 200], 0, "more than 100 informational"),
    "an upgrade nobody asked for": ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], 0, "101 Switching Protocols"),
    "huge headers": ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, 5], 0, "the head of the response exceeds 65536"),
    "one huge header": ([b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, 5], 0, "the head of the response exceeds 65536"),
    "a broken gzip body": (
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody"],
        200,
        "not the gzip",
    ),
    "a broken br body": (
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nbody"],
        200,
        "not the br",
    ),
    "a broken deflate body": (
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 4\r\n\r\nbody"],
        200,
        "not the deflate",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_response_that_is_broken_fails_precisely(make_user: Any, raw: RawServer, case: str):
    steps, status, error = FAILURES[case]
    user = make_user("")
    assert outcome(lambda url: make_user(url).client, raw, *steps, method="POST")[0] == status
    (event,) = user.environment.seen
    assert error in str(event["exception"])
    assert event["response"].content is None


@pytest.mark.parametrize("case", FAILURES)
def test_no_broken_response_spoils_the_next_request(make_client: Any, raw: RawServer, case: str):
    steps, _, _ = FAILURES[case]
    client = make_client(raw.answers([raw.take, *steps], [raw.take, OK]))
    client.post("/")
    gevent.sleep(0.02)  # the server closes after its answer; a POST sent before that is known fails, and rightly so
    assert client.post("/").content == b"ok"


@pytest.mark.parametrize("case", [case for case in SUCCESSES if not case.startswith("no length")])
def test_what_follows_a_response_is_never_taken_for_the_next_one(make_client: Any, raw: RawServer, case: str):
    steps, _, _ = SUCCESSES[case]
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
    client = make_client(raw.answers([raw.take, *steps, raw.take, second], [raw.take, second]))
    client.get("/")
    assert client.get("/").content == b"second"


def test_a_body_over_the_limit_fails_before_it_is_read(make_client: Any, raw: RawServer):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"
    error = "the body of the response exceeds 100 bytes"
    assert outcome(make_client, raw, head, 5, max_body_bytes=100) == (200, None, error)
    assert outcome(make_client, raw, head + b"x" * 101, max_body_bytes=100) == (200, None, error)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101 + b"0\r\n\r\n",
    ],
)
def test_a_body_of_unknown_length_over_the_limit_fails(make_client: Any, raw: RawServer, answer: Any):
    error = "the body of the response exceeds 100 bytes"
    assert outcome(make_client, raw, answer, max_body_bytes=100) == (200, None, error)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_small_body_that_decodes_to_a_huge_one_fails(make_client: Any, raw: RawServer, encoding: str):
    import gzip
    import zlib

    import brotli

    bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[encoding](b"\0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding.encode(), len(bomb))
    error = "the decoded body of the response exceeds 100000 bytes"
    assert outcome(make_client, raw, head + bomb, max_body_bytes=100_000) == (200, None, error)


def test_a_silent_server_fails_after_the_network_timeout(make_client: Any, raw: RawServer):
    error = "timed out: the server was silent for too long"
    assert outcome(make_client, raw, 5, network_timeout=0.05) == (0, None, error)
    assert outcome(make_client, raw, OK[:10], 5, network_timeout=0.05) == (0, None, error)
    assert outcome(make_client, raw, OK[:-1], 5, network_timeout=0.05) == (200, None, error)


def test_a_timeout_of_one_request_replaces_that_of_the_class(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([raw.take, OK, raw.take, 5]), network_timeout=60)
    assert client.get("/").content == b"ok"
    assert "silent for too long" in str(client.get("/", timeout=0.05).error)
    assert "silent for too long" in str(make_client(raw.answers([5])).get("/", timeout=(5, 0.05)).error)


def test_a_timeout_does_not_end_a_response_that_keeps_coming(make_client: Any, raw: RawServer):
    steps = [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", *[step for _ in range(12) for step in (0.02, b"x")]]
    assert outcome(make_client, raw, *steps, network_timeout=0.15) == (200, b"x" * 12, "")


def test_a_response_that_drips_for_ever_fails_after_the_response_timeout(make_client: Any, raw: RawServer):
    steps = [b"HTTP/1.1 200 OK\r\n\r\n", *[step for _ in range(500) for step in (0.01, b"x")]]
    error = "timed out: the response was not complete after 0.2 s"
    assert outcome(make_client, raw, *steps, response_timeout=0.2) == (200, None, error)


def test_a_response_that_never_begins_fails_after_the_response_timeout_if_that_is_shorter(make_client: Any, raw: Any):
    error = "timed out: the server was silent for too long"
    assert outcome(make_client, raw, 5, response_timeout=0.1) == (0, None, error)
