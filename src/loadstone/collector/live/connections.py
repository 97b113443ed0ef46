"""The connections of the live page's server: how many there are, and how long one may say or take nothing.

uvicorn limits neither a request that never ends nor a reader that never reads: its ``limit_concurrency`` counts
both as work, and answers everybody else with 503.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["ConnectionLimits", "LimitedConnection"]

_SMALL_BUFFER: Final = (socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
"""Bytes that the kernel keeps for a reader (it doubles them, socket(7)); by itself it would take megabytes."""

_STEP: Final = 8 * 1024


@dataclass(slots=True, kw_only=True)
class ConnectionLimits:
    """Limits, and the connections that wait for a request, the one that has waited longest first.

    ``most``: connections at once. ``check_every_s``: after one to two such times without a request, or without taking
    anything of an answer, a connection is closed.
    """

    most: int = 200
    check_every_s: float = 15.0
    waiting: dict[LimitedConnection, None] = field(default_factory=dict)


class LimitedConnection(H11Protocol):
    """One connection. A new one takes the place of the one that has waited longest for a request."""

    def __init__(self, limits: ConnectionLimits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._was_waiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(*_SMALL_BUFFER)
        waiting = self._limits.waiting
        if len(self.connections) > self._limits.most:
            next(iter(waiting), self).give_up()
        waiting[self] = None
        self._timer = self.loop.call_later(self._limits.check_every_s, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back, and forget the timers at once."""
        if self._timer is not None:
            self._timer.cancel()
        self._limits.waiting.pop(self, None)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes, a few at a time: the limit of a request's head holds for what has to be read on (h11)."""
        for at in range(0, len(data), _STEP):
            if not self.transport.is_closing():
                super().data_received(data[at : at + _STEP])

    def handle_events(self) -> None:
        """Take in what has come; whole requests begin."""
        super().handle_events()
        if not self._is_idle:
            self._limits.waiting.pop(self, None)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._limits.waiting[self] = None
        self._was_waiting = False
        super().on_response_complete()

    def shutdown(self) -> None:
        """End the connection; an answer that is being read may end first."""
        if self.flow.write_paused:
            self.transport.abort()
        elif self._is_idle:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _check(self) -> None:
        """Close it if it has said or taken nothing since the last time; what it still reads it may end."""
        left, waiting = self.transport.get_write_buffer_size(), self in self._limits.waiting
        if left and left == self._left:
            self.give_up()
            return
        if waiting and self._was_waiting and not left:
            self.transport.close()
        self._left, self._was_waiting = left, waiting
        self._timer = self.loop.call_later(self._limits.check_every_s, self._check)

    def give_up(self) -> None:
        """Close it at once, whatever it still sends or reads."""
        self._limits.waiting.pop(self, None)
        self.transport.abort()
