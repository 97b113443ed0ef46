"""One request and its response over a pooled connection: the path that every request takes.

The usual response (head seen before, body of a known length, all in one piece) is recognised in four steps and never
reaches the general reader.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.domain.time import NS_PER_US
from loadstone.lean.body import Body
from loadstone.lean.connection import has_been_closed
from loadstone.lean.decoding import decode, decode_pieces
from loadstone.lean.errors import FAILURES, ConnectionClosedError
from loadstone.lean.http1 import END_OF_HEAD, Reader, recall
from loadstone.lean.response import LeanResponse

if TYPE_CHECKING:
    from loadstone.lean.connection import Connection
    from loadstone.lean.pools import Options, Pool
    from loadstone.lean.request import Template

STALE = (ConnectionClosedError, ConnectionResetError, BrokenPipeError)


def exchange(
    pool: Pool, template: Template, body: bytes, wire: bytes, options: Options, start_ns: int
) -> tuple[LeanResponse, int]:
    """Send `wire` and read the response; give it and when its last byte was read (perf_counter_ns).

    A stale connection is replaced once, silently, if the method is idempotent. Raises what `errors.FAILURES` lists when
    there is no response; a failure after its head is the `error` of the response.
    """
    connection, data = _ask(pool, template, wire, options, start_ns)
    first_ns = perf_counter_ns()
    end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
    head = recall(data[:end])
    if (
        head is None
        or head.length != len(data) - end
        or head.length > options.limits.max_body_bytes
        or head.encoding
        or template.head_only
        or options.stream
    ):
        response = LeanResponse(template, body, None, (first_ns - start_ns) // NS_PER_US)
        return response, _read(pool, connection, response, data, options, start_ns)
    if head.closes:
        connection.close()
    else:
        pool.give(connection, first_ns)
    return LeanResponse(template, body, head, (first_ns - start_ns) // NS_PER_US, data[end:]), first_ns


def _ask(pool: Pool, template: Template, wire: bytes, options: Options, start_ns: int) -> tuple[Connection, bytes]:
    connection = pool.take(start_ns, options.connect_timeout_s)
    try:
        return connection, _first_bytes(connection, wire, options)
    except STALE:
        connection.close()
        if not connection.exchanges or not template.idempotent:
            raise
    except BaseException:
        connection.close()
        raise
    return _ask_again(pool, wire, options)


def _ask_again(pool: Pool, wire: bytes, options: Options) -> tuple[Connection, bytes]:
    connection = pool.open(options.connect_timeout_s)
    try:
        return connection, _first_bytes(connection, wire, options)
    except BaseException:
        connection.close()
        raise


def _first_bytes(connection: Connection, wire: bytes, options: Options) -> bytes:
    connection.limit(perf_counter_ns() + options.limits.first_wait_ns)
    try:
        connection.send(wire)
    except OSError as error:
        if not has_been_closed(error):
            raise
        # The server may have answered (413, say) before it hung up: what it sent can still be read.
    data = connection.read()
    if not data:
        raise ConnectionClosedError("the server closed the connection before the first byte of a response")
    return data


def _read(
    pool: Pool, connection: Connection, response: LeanResponse, data: bytes, options: Options, start_ns: int
) -> int:
    """Read a response by all rules into `response`, and give when that ended; a stream stays to be read."""
    try:
        reader = Reader(connection, data, options.limits, start_ns=start_ns, head_only=response.template.head_only)
        response.begin(reader.head)
        if not options.stream:
            _collect(response, reader, options)
    except BaseException:
        connection.close()
        raise
    release = partial(_release, pool, connection, reader)
    if options.stream:
        parts = decode_pieces(reader.body(), reader.head.encoding if options.decompress else "")
        response.attach(Body(parts, release, options.limits.max_body_bytes))
    else:
        release()
    return perf_counter_ns()


def _collect(response: LeanResponse, reader: Reader, options: Options) -> None:
    try:
        body = reader.collect()
        encoding = reader.head.encoding if options.decompress else ""
        response.keep(decode(body, encoding, options.limits.max_body_bytes) if encoding else body)
    except FAILURES as error:
        response.error = error


def _release(pool: Pool, connection: Connection, reader: Reader) -> None:
    if reader.reusable and connection.alive:
        pool.give(connection, perf_counter_ns())
    else:
        connection.close()
