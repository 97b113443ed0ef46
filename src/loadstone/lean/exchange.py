"""One request and its response over a pooled connection: the path that every request takes.

The usual response (head seen before, body of a known length, all in one piece) is recognised in four steps and never
reaches the general reader.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from loadstone.domain.time import NS_PER_MS, NS_PER_S, NS_PER_US
from loadstone.lean.body import BodyStream, decode
from loadstone.lean.connection import has_been_closed
from loadstone.lean.errors import FAILURES, ConnectionClosedError
from loadstone.lean.http1 import END_OF_HEAD, Limits, Reader, recall
from loadstone.lean.opening import open_connection, tls_context
from loadstone.lean.response import LeanResponse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from loadstone.lean.connection import Connection
    from loadstone.lean.opening import Origin
    from loadstone.lean.request import Template

STALE = (ConnectionClosedError, ConnectionResetError, BrokenPipeError)
LOOK_AFTER_NS = 100 * NS_PER_MS
"""A connection idle for longer is looked at once more before use: the loop may not have seen its end yet."""


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
        limits = self.limits if read_s is None else replace(self.limits, read_ns=int(read_s * NS_PER_S))
        return replace(self, limits=limits, connect_timeout_s=connect_s)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client connects and what it accepts; `LeanHttpUser` documents each field under the same name."""

    connection_timeout_s: float
    options: Options
    max_redirects: int
    concurrency: int
    insecure: bool
    ssl_context_factory: Callable[[], ssl.SSLContext] | None

    def context_for(self, origin: Origin) -> ssl.SSLContext | None:
        """Give the TLS settings for this origin, None for plain HTTP."""
        if origin.scheme != "https":
            return None
        return tls_context(self.ssl_context_factory, insecure=self.insecure)


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


class Pool:
    """Idle connections to one origin, the latest used first."""

    __slots__ = ("_idle", "_origin", "_settings")

    def __init__(self, origin: Origin, settings: ClientSettings) -> None:
        self._origin = origin
        self._settings = settings
        self._idle: list[Connection] = []

    def take(self, now_ns: int, timeout_s: float | None = None) -> Connection:
        """Give a usable connection, a new one if there is none idle; raises as `open_connection` does."""
        while self._idle:
            connection = self._idle.pop()
            fresh = connection.alive and now_ns - connection.idle_since_ns < LOOK_AFTER_NS
            if fresh or connection.look():
                connection.idle_since_ns = 0
                return connection
        return self.open(timeout_s)

    def open(self, timeout_s: float | None = None) -> Connection:
        """Give a new connection; raises as `open_connection` does."""
        settings = self._settings
        timeout_s = settings.connection_timeout_s if timeout_s is None else timeout_s
        return open_connection(self._origin, settings.context_for(self._origin), timeout_s)

    def give(self, connection: Connection, now_ns: int) -> None:
        """Take a connection back after a complete exchange, for the next request."""
        connection.exchanges += 1
        connection.idle_since_ns = now_ns
        if len(self._idle) < self._settings.concurrency:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()
