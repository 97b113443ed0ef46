"""How a client connects and reads, and the idle connections that it keeps for each origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loadstone.domain.time import NS_PER_MS, NS_PER_S
from loadstone.lean.opening import open_connection, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from loadstone.lean.connection import Connection
    from loadstone.lean.http1 import Limits
    from loadstone.lean.opening import Origin

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
    max_retries: int
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


class Pools(dict["Origin", Pool]):
    """The pools of one client by origin, each made when it is first asked for; closed when the last user is gone."""

    __slots__ = ("_others", "settings")

    def __init__(self, settings: ClientSettings) -> None:
        super().__init__()
        self.settings = settings
        self._others: dict[ClientSettings, Pools] | None = None

    def __missing__(self, origin: Origin) -> Pool:
        pool = self[origin] = Pool(origin, self.settings)
        return pool

    def __del__(self) -> None:
        self.close()

    def under(self, settings: ClientSettings) -> Pools:
        """Give the pools for requests that connect in another way, kept for the next one that does."""
        if self._others is None:
            self._others = {}
        if settings not in self._others:
            self._others[settings] = Pools(settings)
        return self._others[settings]

    def close(self) -> None:
        """Close the idle connections of all pools."""
        for pool in self.values():
            pool.close()
        for pools in (self._others or {}).values():
            pools.close()
