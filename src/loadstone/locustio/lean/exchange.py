"""One request and its response over one connection: the path that every request takes.

The usual response (head seen before, body of a known length, all in one piece) is recognised in four steps and never
reaches the general reader.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.locustio.lean.connection import Connection, has_been_closed
from loadstone.locustio.lean.decoding import decode
from loadstone.locustio.lean.errors import FAILURES, ConnectionClosedError
from loadstone.locustio.lean.head import recall
from loadstone.locustio.lean.reading import END_OF_HEAD, Limits, Reader
from loadstone.locustio.lean.response import LeanResponse
from loadstone.locustio.lean.streaming import BodyStream

if TYPE_CHECKING:
    from loadstone.locustio.lean.pool import Pool
    from loadstone.locustio.lean.template import Template

US = 1_000  # ns
STALE = (ConnectionClosedError, ConnectionResetError, BrokenPipeError)


class Call:
    """What is to be sent and how its response is to be read."""

    __slots__ = ("body", "connect_timeout_s", "decompress", "limits", "start_ns", "stream", "template", "wire")

    def __init__(self, template: Template, body: bytes, wire: bytes, limits: Limits, start_ns: int) -> None:
        self.template = template
        self.body = body
        self.wire = wire
        self.limits = limits
        self.start_ns = start_ns
        self.stream = False
        self.decompress = True
        self.connect_timeout_s: float | None = None


def exchange(pool: Pool, call: Call) -> tuple[LeanResponse, int]:
    """Send a request and read its response; give it and when its last byte was read (perf_counter_ns).

    A stale connection is replaced once, silently, if the method is idempotent. Raises what `errors.FAILURES` lists when
    there is no response; a failure after its head is the `error` of the response.
    """
    connection, data = _ask(pool, call)
    first_ns = perf_counter_ns()
    end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
    head = recall(data[:end])
    if head is None or head.length != len(data) - end or head.encoding or call.stream or call.template.head_only:
        return _read(pool, connection, call, data, first_ns)
    if head.length > call.limits.max_body_bytes:
        return _read(pool, connection, call, data, first_ns)
    if head.closes:
        connection.close()
    else:
        pool.give(connection, first_ns)
    return LeanResponse(call.template, call.body, head, data[end:], (first_ns - call.start_ns) // US), first_ns


def _ask(pool: Pool, call: Call) -> tuple[Connection, bytes]:
    connection = pool.take(call.start_ns, call.connect_timeout_s)
    try:
        return connection, _first_bytes(connection, call)
    except STALE:
        connection.close()
        if not connection.exchanges or not call.template.idempotent:
            raise
    except BaseException:
        connection.close()
        raise
    return _ask_again(pool, call)


def _ask_again(pool: Pool, call: Call) -> tuple[Connection, bytes]:
    connection = pool.open(call.connect_timeout_s)
    try:
        return connection, _first_bytes(connection, call)
    except BaseException:
        connection.close()
        raise


def _first_bytes(connection: Connection, call: Call) -> bytes:
    connection.limit(perf_counter_ns() + call.limits.read_ns)
    try:
        connection.send(call.wire)
    except OSError as error:
        if not has_been_closed(error):
            raise
        # The server may have answered (413, say) before it hung up: what it sent can still be read.
    data = connection.read()
    if not data:
        raise ConnectionClosedError("the server closed the connection before the first byte of a response")
    return data


def _read(pool: Pool, connection: Connection, call: Call, data: bytes, first_ns: int) -> tuple[LeanResponse, int]:
    ttfb_us = (first_ns - call.start_ns) // US
    try:
        reader = Reader(connection, data, call.limits, start_ns=call.start_ns, head_only=call.template.head_only)
        response = LeanResponse(call.template, call.body, reader.head, None, ttfb_us)
        if not call.stream:
            _collect(response, reader, call)
    except BaseException:
        connection.close()
        raise
    release = partial(_release, pool, connection)
    if call.stream:
        response.stream = BodyStream(reader, release, call.limits.max_body_bytes)
    else:
        release(reader)
    return response, perf_counter_ns()


def _collect(response: LeanResponse, reader: Reader, call: Call) -> None:
    try:
        body = reader.collect()
        encoding = reader.head.encoding if call.decompress else ""
        response.keep(decode(body, encoding, call.limits.max_body_bytes) if encoding else body)
    except FAILURES as error:
        response.error = error


def _release(pool: Pool, connection: Connection, reader: Reader) -> None:
    if reader.reusable and connection.alive:
        pool.give(connection, perf_counter_ns())
    else:
        connection.close()
