"""The serving process: it binds the port, loads the model, starts to listen, and drains when told to stop.

Connections are refused until the first check of the registry is over. A balancer that has just discovered this replica
through DNS, and has not checked its health yet, sends a refused request to another replica, but has to pass on a 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn

from inference.api import make_api
from inference.copying_registry import open_registry
from inference.errors import PortTakenError
from inference.fast_path import FastPath
from inference.http_protocol import JoiningProtocol
from inference.model_manager import ModelManager
from inference.telemetry import Metrics, log_error, log_info

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from inference.settings import Settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_STARTUP_POLL_S: Final = 0.02  # between two checks whether the first registry lookup is over


@dataclass(frozen=True, kw_only=True)
class Target:
    """The connected parts of one target."""

    model_manager: ModelManager
    fast_path: FastPath
    metrics: Metrics


def build(settings: Settings) -> Target:
    """Create and connect the parts of a target; nothing is bound, loaded or started yet."""
    metrics = Metrics()
    model_manager = ModelManager(open_registry(settings), settings, metrics)
    fast_path = FastPath(model_manager, make_api(model_manager, metrics, settings), metrics, settings.max_body_bytes)
    return Target(model_manager=model_manager, fast_path=fast_path, metrics=metrics)


def serve(settings: Settings) -> int:
    """Serve until told to stop, drain, and return 0.

    Raises:
        PortTakenError: the address cannot be bound.
        ModelRefusedError: the registry's model cannot be served.

    """
    listener = bind(settings)
    target = build(settings)
    config = uvicorn.Config(
        target.fast_path,
        http=JoiningProtocol,
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=settings.backlog,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(
            _run(_Server(config, listener, target.model_manager, settings.drain_s), target.model_manager, listener)
        )
    if target.model_manager.refused is not None:
        raise target.model_manager.refused
    return 0


def bind(settings: Settings) -> socket.socket:
    """Bind the port first, so that an unusable one is reported before anything is started; do not listen yet.

    Raises:
        PortTakenError: the address cannot be bound.

    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise _port_taken(settings.host, settings.port, error) from error
    return listener


def _port_taken(host: str, port: int, error: OSError) -> PortTakenError:
    hint = "stop the process that uses it, or set TARGET_HOST and TARGET_PORT to a free address"
    return PortTakenError(f"{host}:{port} cannot be bound ({error.strerror or error})", hint)


class _Server(uvicorn.Server):
    """uvicorn's server, extended to wait for the model manager before it listens, and to drain before it stops."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, model_manager: ModelManager, drain_s: float
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._model_manager = model_manager
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as handle_exit's
        """Listen once a model is being served or the registry's error is known; exit when there is nothing to serve.

        Raises:
            PortTakenError: another process has started to listen on the port after it was bound.

        """
        while not (self._model_manager.has_checked or self._model_manager.draining):  # noqa: ASYNC110 - a signal handler cannot set an asyncio.Event
            await asyncio.sleep(_STARTUP_POLL_S)
        if self._model_manager.draining or self._model_manager.refused is not None:
            self.should_exit = True
            return
        host, port = self._listener.getsockname()[:2]
        try:
            await super().startup([self._listener])
        except OSError as error:
            raise _port_taken(host, port, error) from error
        log_info("listening", host=host, port=port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals without raising them again at exit: a requested drain is a success."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in _SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the interface is uvicorn's
        """Start the drain; a second signal ends it at once."""
        if self._model_manager.draining:
            self.should_exit = True
            self.force_exit = True
            return
        self._model_manager.draining = True
        log_info("draining", signal=signal.Signals(sig).name, for_s=self._drain_s)
        self._drain_end_s = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Stop when the drain is over or the model was refused; uvicorn calls this ten times a second."""
        if self._model_manager.refused is not None or (
            self._model_manager.draining and time.monotonic() >= self._drain_end_s
        ):
            self.should_exit = True
        return await super().on_tick(counter)


async def _run(server: _Server, model_manager: ModelManager, listener: socket.socket) -> None:
    managing = asyncio.create_task(model_manager.run())
    managing.add_done_callback(_log_crash)
    await server.serve(sockets=[listener])
    managing.cancel()
    await asyncio.gather(managing, return_exceptions=True)
    if model_manager.current is not None:
        model_manager.current.close()
    log_info("stopped")


def _log_crash(managing: asyncio.Task[None]) -> None:
    if not managing.cancelled() and managing.exception() is not None:
        log_error("model_manager_crashed", reason=repr(managing.exception()))
