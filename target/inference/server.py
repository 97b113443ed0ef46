"""The process: binds the port, loads the model, listens once it can say something, and drains when told to stop.

Until the first look at the registry is over, connections are refused: a balancer that has just found this replica by
name, and has not checked it yet, sends a refused request elsewhere, but has to pass on an answered one.
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

from inference import logs
from inference.api import make_api
from inference.errors import PortTakenError
from inference.gate import Gate
from inference.keeper import Keeper
from inference.metrics import Metrics
from inference.registry import Registry
from inference.wire import JoiningProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from inference.settings import Settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOOK_S: Final = 0.02  # between two looks whether the first model is there


@dataclass(frozen=True, kw_only=True)
class Target:
    """The parts of one target, wired together."""

    keeper: Keeper
    gate: Gate
    metrics: Metrics


def build(settings: Settings) -> Target:
    """Wire a target together; nothing is bound, loaded or started yet."""
    metrics = Metrics()
    keeper = Keeper(Registry(settings.tracking_uri), settings, metrics)
    gate = Gate(keeper, make_api(keeper, metrics, settings), metrics, settings.max_body_bytes)
    return Target(keeper=keeper, gate=gate, metrics=metrics)


def serve(settings: Settings) -> int:
    """Serve until told to stop, drain, and give 0.

    Raises:
        PortTakenError: the address cannot be bound.
        ModelRefusedError: the registry's model cannot be served at all.

    """
    listener = bind(settings)
    target = build(settings)
    config = uvicorn.Config(
        target.gate,
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
        runner.run(_run(_Server(config, listener, target.keeper, settings.drain_s), target.keeper, listener))
    if target.keeper.refused is not None:
        raise target.keeper.refused
    return 0


def bind(settings: Settings) -> socket.socket:
    """Take the port before anything else is started, so that a wrong one is told in one sentence; do not listen yet.

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
    except OSError as problem:
        raise _port_taken(settings.host, settings.port, problem) from problem
    return listener


def _port_taken(host: str, port: int, problem: OSError) -> PortTakenError:
    hint = "stop what listens there, or set TARGET_HOST and TARGET_PORT to a free address"
    return PortTakenError(f"{host}:{port} cannot be bound ({problem.strerror or problem})", hint)


class _Server(uvicorn.Server):
    """uvicorn's server, which listens when the keeper has looked, and says on ``/ready`` that it will stop."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, keeper: Keeper, drain_s: float) -> None:
        super().__init__(config)
        self._listener = listener
        self._keeper = keeper
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as handle_exit's
        """Listen when a model serves or the registry's trouble is known; stop when there is nothing to listen for.

        Raises:
            PortTakenError: another process listens there since the port was bound.

        """
        while not (self._keeper.has_looked or self._keeper.draining):  # noqa: ASYNC110 - no event can be set in a signal handler
            await asyncio.sleep(_LOOK_S)
        if self._keeper.draining or self._keeper.refused is not None:
            self.should_exit = True
            return
        host, port = self._listener.getsockname()[:2]
        try:
            await super().startup([self._listener])
        except OSError as problem:
            raise _port_taken(host, port, problem) from problem
        logs.info("listening", host=host, port=port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals without raising them again at the end: a drain that was asked for is a success."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in _SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the interface is uvicorn's
        """Start to drain; a second signal ends the drain at once."""
        if self._keeper.draining:
            self.should_exit = True
            self.force_exit = True
            return
        self._keeper.draining = True
        logs.info("draining", signal=signal.Signals(sig).name, for_s=self._drain_s)
        self._until = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Stop when the drain is over, or when there is no model to serve; called by uvicorn ten times a second."""
        if self._keeper.refused is not None or (self._keeper.draining and time.monotonic() >= self._until):
            self.should_exit = True
        return await super().on_tick(counter)


async def _run(server: _Server, keeper: Keeper, listener: socket.socket) -> None:
    keeping = asyncio.create_task(keeper.run())
    keeping.add_done_callback(_tell_of_crash)
    await server.serve(sockets=[listener])
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    if keeper.current is not None:
        keeper.current.close()
    logs.info("stopped")


def _tell_of_crash(keeping: asyncio.Task[None]) -> None:
    if not keeping.cancelled() and keeping.exception() is not None:
        logs.error("keeper_crashed", why=repr(keeping.exception()))
