"""The live page's server: uvicorn in a thread of the Aggregator's process, which keeps its signals to itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from loadstone.collector.live.app import Changes, live_app
from loadstone.collector.live.board import LiveBoard
from loadstone.collector.live.connections import ConnectionLimits, LimitedConnection
from loadstone.domain.web_access import AllowedHosts
from loadstone.host.names import machine_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["serving"]

_BACKLOG: Final = 128
_LONGEST_HEAD: Final = 16 * 1024
"""Bytes of a request's head."""
_ENDS_WITHIN_S: Final = 5.0
log = logging.getLogger("loadstone.live")


@contextmanager
def serving(
    bind: str,
    port: int | None,
    results: Path,
    allowed_hosts: tuple[str, ...] = (),
    limits: ConnectionLimits | None = None,
) -> Iterator[LiveBoard | None]:
    """A board that is served while the context lasts; None without a port, or when the port is taken (logged).

    ``allowed_hosts`` are names under which the page may be opened beside those of this machine (`AllowedHosts`).
    """
    if port is None:
        yield None
        return
    try:
        listener = _listen(bind, port)
    except OSError as error:
        log.error("live_page=no address=%s:%d error=%r", bind, port, str(error))  # noqa: TRY400  (the cause is enough)
        yield None
        return
    board, hosts = LiveBoard(), AllowedHosts({bind, *machine_names()}, allowed_hosts)
    server = _Server(listener, board, results, hosts, limits or ConnectionLimits())
    server.start()
    log.info("live_page=http://%s/", _authority(listener))
    try:
        yield board
    finally:
        server.stop()


def _listen(bind: str, port: int) -> socket.socket:
    """A listening socket; `::` is every address, of IPv4 too."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    return socket.create_server((bind, port), family=family, backlog=_BACKLOG, dualstack_ipv6=bind == "::")


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server:
    """uvicorn in a thread. It serves from `start`, in which the socket listens already, until `stop`."""

    def __init__(
        self, listener: socket.socket, board: LiveBoard, results: Path, hosts: AllowedHosts, limits: ConnectionLimits
    ) -> None:
        self._listener = listener
        self._board = board
        self._loop = asyncio.new_event_loop()
        self._changes = Changes()
        protocol: Any = partial(LimitedConnection, limits)
        config = uvicorn.Config(
            live_app(board, results, hosts, self._changes),
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="live-page", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._board.listen(lambda: self._tell(self._changes.tell))
        self._thread.start()

    def stop(self) -> None:
        """End all streams and connections."""
        self._server.should_exit = True
        self._tell(self._changes.close)
        self._thread.join(_ENDS_WITHIN_S)

    def _tell(self, what: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._server.serve(sockets=[self._listener])
        for connection in tuple(self._server.server_state.connections):
            connection.transport.abort()
