"""The connections of Locust's web server: how many there are, and how long one may say or take nothing.

gevent's server (https://www.gevent.org/api/gevent.pywsgi.html) limits neither requests that never end nor readers that
never read; with a pool it takes nobody else while the pool is full of them. The limits are those of the live page.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from locust import web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Connections", "LimitedServer", "install"]

_MOST: Final = 200
_CHECK_EVERY_S: Final = 15.0
_SMALL_BUFFER: Final = (socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
"""Bytes that the kernel keeps for a reader (it doubles them, socket(7)); by itself it would take megabytes."""
_READER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)
"""Linux ends a connection whose reader takes nothing for so long, tcp(7)."""

_TLS: Final = frozenset({"certfile", "keyfile", "ssl_context"})


def install() -> None:
    """Let Locust make its web server with limits; ``locust.web`` looks the class up when it starts."""
    locusts: Any = web
    locusts.pywsgi = SimpleNamespace(WSGIServer=LimitedServer)


class LimitedServer(WSGIServer):
    """gevent's server with limits."""

    def __init__(self, *given: Any, connections: Connections | None = None, **options: Any) -> None:
        self.connections = Connections() if connections is None else connections
        options |= {"spawn": self.connections, "handler_class": _Handler}
        if not options.keys().isdisjoint(_TLS):  # the handshake comes with the first read, and is limited with it
            options["do_handshake_on_connect"] = False
        super().__init__(*given, **options)

    def do_handle(self, *connection: Any) -> None:
        """Take a connection, or close it if everybody is being answered."""
        take = super().do_handle if self.connections.make_room() else self.do_close
        take(*connection)


class Connections(Pool):
    """The greenlets of a server, one for each connection.

    A new one takes the place of the one that has waited longest for its client. Whoever waits at two checks in a row
    for the same request, or the same part of its body, is ended: after one to two times ``check_every_s``. A reader
    that takes nothing of an answer has two.
    """

    def __init__(self, most: int = _MOST, check_every_s: float = _CHECK_EVERY_S) -> None:
        super().__init__()
        self._most = most
        self.check_every_s = check_every_s
        self._waiting: dict[Any, float] = {}
        gevent.spawn(self._check)

    def spawn(self, run: Any, handle: Any, close: Any, connection: tuple[Any, ...]) -> Any:  # type: ignore[override]
        """Start a connection."""
        greenlet = super().spawn(run, handle, close, connection)
        self._waiting[greenlet] = time.monotonic()
        greenlet.rawlink(self._forget)
        greenlet.rawlink(lambda _: close(*connection))  # one that never ran has closed nothing
        return greenlet

    def make_room(self) -> bool:
        """Whether there is a place for one more, if need be that of the one that has waited longest."""
        if len(self) < self._most:
            return True
        longest = min(self._waiting, key=self._waiting.__getitem__, default=None)
        if longest is not None:
            self._give_up(longest)
        return longest is not None

    @contextmanager
    def waiting(self, since_s: float) -> Iterator[None]:
        """The current connection waits for its client, which has had to say something since then (monotonic).

        It ends here if it was given up in the meantime, also if its client said something at the last moment.
        """
        current = gevent.getcurrent()
        self._waiting[current] = since_s
        try:
            yield
        finally:
            given_up = self._waiting.pop(current, None) is None
        if given_up:
            raise GreenletExit

    def _forget(self, greenlet: Any) -> None:
        self._waiting.pop(greenlet, None)

    def _give_up(self, greenlet: Any) -> None:
        self._forget(greenlet)
        greenlet.kill(block=False)

    def _check(self) -> None:
        before: dict[Any, float] = {}
        while True:
            gevent.sleep(self.check_every_s)
            for greenlet, _ in self._waiting.items() & before.items():
                self._give_up(greenlet)
            before = self._waiting.copy()


class _Handler(WSGIHandler):
    """One connection, which says when it waits for its client. Once given up, it neither reads nor answers."""

    server: LimitedServer
    ignored_socket_errors = (*WSGIHandler.ignored_socket_errors, errno.ETIMEDOUT)

    def __init__(self, sock: Any, address: Any, server: LimitedServer, *more: Any) -> None:
        super().__init__(sock, address, server, *more)
        sock.setsockopt(*_SMALL_BUFFER)
        if _READER_TIMEOUT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _READER_TIMEOUT, int(2000 * server.connections.check_every_s))
        raw: Any = self.rfile.raw
        self._receive = raw.readinto
        raw.readinto = self._receive_in_time
        self._since_s = time.monotonic()
        self._reads_body = self._is_given_up = False

    def handle(self) -> None:
        """All requests of the connection. The server leaves it to the last reference to close the socket."""
        reader = self.rfile
        try:
            super().handle()
        finally:
            reader.close()
            del self._receive

    def handle_one_request(self) -> Any:
        """The time for a request's head begins with the connection, or with the end of the answer before."""
        self._since_s = time.monotonic()
        return super().handle_one_request()

    def handle_one_response(self) -> None:
        """Of a body, each part has its time."""
        self._reads_body = True
        super().handle_one_response()
        self._reads_body = False

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """A connection that is given up ends."""
        if self._is_given_up:
            self.close_connection = True
        else:
            super().handle_error(kind, error, trace)

    def _receive_in_time(self, buffer: Any) -> Any:
        if self._is_given_up:  # the server discards what is left of a body
            raise GreenletExit
        since_s = time.monotonic() if self._reads_body else self._since_s
        try:
            with self.server.connections.waiting(since_s):
                return self._receive(buffer)
        except GreenletExit:
            self._is_given_up = True
            raise
