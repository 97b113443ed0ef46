"""Opening a connection: resolve, connect, and TLS with server name and verification.

TLS runs over memory BIOs, so that an encrypted connection is read by the same loop callback as a plain one.
"""

from __future__ import annotations

import _socket
import errno
import os
import ssl
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import gevent.socket
from gevent import Timeout

from loadstone.domain.time import NS_PER_S
from loadstone.lean import connections
from loadstone.lean.connection import READ_BYTES, Connection
from loadstone.lean.errors import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where connections go: scheme, host and port (RFC 6454). `host` has no brackets round an IPv6 address.

    Compared by identity, because every request looks one up: get it from `origin_of`.
    """

    scheme: str
    host: str
    port: int


@lru_cache(maxsize=4_096)
def origin_of(scheme: str, host: str, port: int) -> Origin:
    """Give the one object for this origin."""
    return Origin(scheme, host, port)


class TlsCodec:
    """The TLS side of one connection, bytes in and bytes out."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def seal(self, plain: bytes) -> bytes:
        """Give the records that carry `plain`."""
        self._tls.write(plain)
        return self._outgoing.read()

    def unseal(self, data: bytes) -> bytes | None:
        """Give the plain bytes that `data` completes: b"" at the end of the stream, None when there are none yet."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        plain = bytearray()
        try:
            while part := self._tls.read(READ_BYTES):
                plain += part
        except ssl.SSLWantReadError:
            return bytes(plain) or (None if data else b"")
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        return bytes(plain)

    def shake_hands(self, connection: Connection) -> None:
        """Complete the handshake over `connection`.

        Raises ssl.SSLError, and ConnectionClosedError when the server hangs up.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(connection)
                data = connection.read()
                if not data:
                    raise ConnectionClosedError("the server closed the connection during the TLS handshake") from None
                self._incoming.write(data)
            else:
                self._flush(connection)
                return

    def _flush(self, connection: Connection) -> None:
        if self._outgoing.pending:
            connection.send(self._outgoing.read())


@lru_cache(maxsize=8)
def tls_context(factory: Callable[[], ssl.SSLContext] | None, *, insecure: bool) -> ssl.SSLContext:
    """Give the TLS settings of a user class, shared by all its users: loading the CA bundle takes 20 ms and 0.5 MB."""
    context = factory() if factory is not None else ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def open_connection(origin: Origin, context: ssl.SSLContext | None, timeout_s: float) -> Connection:
    """Connect to the first address that accepts, with TLS when `context` is given.

    Raises OSError as the system gives it, ssl.SSLError, and ConnectTimeoutError after `timeout_s` seconds.
    """
    deadline_ns = perf_counter_ns() + int(timeout_s * NS_PER_S)
    with Timeout(timeout_s, ConnectTimeoutError("timed out: no connection within the connect timeout")):
        sock = _connect_to_any(_resolve(origin))
    connections.count()
    connection = Connection(sock)
    if context is not None:
        _secure(connection, TlsCodec(context, origin.host), deadline_ns)
    return connection


def _secure(connection: Connection, codec: TlsCodec, deadline_ns: int) -> None:
    connection.limit(deadline_ns)
    try:
        codec.shake_hands(connection)
    except ReadTimeoutError as error:
        connection.close()
        raise ConnectTimeoutError("timed out: no TLS handshake within the connect timeout") from error
    except BaseException:
        connection.close()
        raise
    connection.codec = codec


def _resolve(origin: Origin) -> list[tuple[int, int, int, Any]]:
    """Give (family, type, protocol, address) of the host; a numeric one needs no resolver thread."""
    found: Sequence[tuple[int, int, int, str, Any]]
    try:
        found = _socket.getaddrinfo(origin.host, origin.port, 0, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST)
    except OSError:
        found = gevent.socket.getaddrinfo(origin.host, origin.port, 0, _socket.SOCK_STREAM)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]


def _connect_to_any(addresses: list[tuple[int, int, int, Any]]) -> _socket.socket:
    error: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for family, kind, protocol, address in addresses:
        try:
            return _connect(_socket.socket(family, kind, protocol), address)
        except OSError as failure:
            if isinstance(failure, ConnectTimeoutError):
                raise
            error = failure
    raise error


def _connect(sock: _socket.socket, address: Any) -> _socket.socket:
    try:
        sock.setblocking(False)  # noqa: FBT003  # the socket module's own signature
        failure = sock.connect_ex(address)
        if failure in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            gevent.socket.wait_write(sock.fileno())
            failure = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))  # noqa: TRY301  # one place closes the socket
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
