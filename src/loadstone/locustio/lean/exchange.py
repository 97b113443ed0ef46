"""One request and its response over one connection: the path that every request takes.

The usual response (head seen before, body of a known length, all in one piece) is recognised in four steps and never
reaches the general reader.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.locustio.lean.connection import NS, Connection, has_been_closed
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


@dataclass(frozen=True, slots=True)
class Options:
    """How a response is to be read; those of a session are shared by most of its requests."""

    limits: Limits
    decompress: bool = True
    stream: bool = False
    connect_timeout_s: float | None = None

    def patient_for(self, timeout: float | tuple[float | None, float | None]) -> Options:
        """Give these options with another timeout in seconds, for connecting and reading or for each of both."""
        connect_s, read_s = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        limits = self.limits if read_s is None else replace(self.limits, read_ns=int(read_s * NS))
        return replace(self, limits=limits, connect_timeout_s=connect_s)


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
        response = LeanResponse(template, body, None, (first_ns - start_ns) // US)
        return response, _read(pool, connection, response, data, options, start_ns)
    if head.closes:
        connection.close()
    else:
        pool.give(connection, first_ns)
    return LeanResponse(template, body, head, (first_ns - start_ns) // US, data[end:]), first_ns


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
    release = partial(_release, pool, connection)
    if options.stream:
        response.stream = BodyStream(reader, release, options.limits.max_body_bytes)
    else:
        release(reader)
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
