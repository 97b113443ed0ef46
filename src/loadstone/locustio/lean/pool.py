"""The connections of one user to one origin, and the settings that all users of a class share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadstone.locustio.lean.opening import open_connection, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from loadstone.locustio.lean.connection import Connection
    from loadstone.locustio.lean.exchange import Options
    from loadstone.locustio.lean.opening import Origin


LOOK_AFTER_NS = 100_000_000
"""A connection idle for longer is looked at once more before use: the loop may not have seen its end yet."""


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
