"""Counters of containers, how they are fetched, and the usage per container and tick that is computed from them.

`get` and `get_from_socket` use the standard library: sampling needs no more than the group `collector`, which has no
httpx, and a sampler runs beside the load test, where a lighter process disturbs less.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from loadstone.domain.time import NS_PER_S
from loadstone.domain.usage_tick import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "UNKNOWN",
    "CounterRates",
    "Reading",
    "Source",
    "SourceError",
    "get",
    "get_from_socket",
    "increase",
    "lines_from_socket",
]

_TIMEOUT_S: Final = 3.0
_REMEMBERED_NS: Final = 60 * NS_PER_S
UNKNOWN: Final = -1
"""In place of a limit: the source has not said whether there is one."""


class SourceError(Exception):
    """A source of readings does not answer, or its answer cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One container's counters at ``at_ns``. ``id`` changes when it is recreated, not when it is restarted.

    Totals since its start, which is at ``started_s`` where that is known: CPU seconds, scheduling periods and those in
    which it was throttled, bytes received and sent, out-of-memory kills. Limits and memory are as they are now; None
    where there is no limit or no figure, and `UNKNOWN` where the source does not say what the limit is.
    """

    id: str
    service: str
    container: str
    at_ns: int
    cpu_s: float
    mem_bytes: int
    started_s: float | None = None
    cpu_limit: float | None = None
    mem_limit: int | None = None
    periods: int | None = None
    throttled: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    oom: int = 0


class Source(Protocol):
    """Where readings come from."""

    @property
    def name(self) -> str:
        """What logs call it."""

    @property
    def fresh_s(self) -> float:
        """How far the time of a reading may be from the moment at which it was asked for."""

    def read(self) -> Sequence[Reading]:
        """All containers now. Raises `SourceError`."""


class CounterRates:
    """Turns readings into usage since the reading before. A container's first reading gives nothing.

    A container that is missing from some readings keeps its last counters and limits for `_REMEMBERED_NS`.
    """

    def __init__(self) -> None:
        self._before: dict[str, Reading] = {}
        self._kills: dict[str, int] = {}
        self._begun = False

    def take(self, readings: Iterable[Reading]) -> tuple[tuple[Usage, int], ...]:
        """The usage of every container that was read before, each with its reading's time (wall clock, ns).

        One whose figures are not newer is left out.
        """
        found = [self._with_known_limits(reading) for reading in readings]
        pairs = [(self._before.get(now.id), now) for now in found]
        for old, now in pairs:
            if old is None and self._begun:  # it was started after the first reading, so its kills are all new
                self._kills[now.id] = now.oom
        self._remember(found)
        return tuple(
            (_usage(old, now, self._kills.pop(now.id, 0)), now.at_ns)
            for old, now in pairs
            if old is not None and now.at_ns > old.at_ns
        )

    def last_limits(self, service: str, container: str) -> tuple[float | None, int | None]:
        """The limits of CPU (cores) and memory (bytes) that a container had when it was last read."""
        known = [each for each in self._before.values() if (each.service, each.container) == (service, container)]
        newest = max(known, key=lambda each: each.at_ns, default=None)
        return (newest.cpu_limit, newest.mem_limit) if newest else (None, None)

    def _with_known_limits(self, now: Reading) -> Reading:
        """The reading with the limits of the one before, where the source leaves them out."""
        if UNKNOWN not in (now.cpu_limit, now.mem_limit):
            return now
        cpu, mem = self.last_limits(now.service, now.container)
        return replace(
            now,
            cpu_limit=cpu if now.cpu_limit == UNKNOWN else now.cpu_limit,
            mem_limit=mem if now.mem_limit == UNKNOWN else now.mem_limit,
        )

    def _remember(self, found: Sequence[Reading]) -> None:
        self._begun = self._begun or bool(found)
        for now in found:
            old = self._before.get(now.id)
            if old is None or now.at_ns > old.at_ns:
                self._before[now.id] = now
        newest_ns = max((each.at_ns for each in self._before.values()), default=0)
        for id_ in [id_ for id_, each in self._before.items() if newest_ns - each.at_ns > _REMEMBERED_NS]:
            del self._before[id_]
            self._kills.pop(id_, None)


def _usage(old: Reading, now: Reading, earlier_kills: int) -> Usage:
    seconds = (now.at_ns - old.at_ns) / NS_PER_S
    if now.started_s != old.started_s:  # it was restarted: everything has counted from zero since
        old = replace(now, cpu_s=0, periods=0, throttled=0, rx_bytes=0, tx_bytes=0, oom=0)
    return Usage(
        service=now.service,
        container=now.container,
        cpu_cores=round(increase(old.cpu_s, now.cpu_s) / seconds, 4),
        cpu_limit=now.cpu_limit,
        throttled_pct=_throttled_pct(old, now),
        mem_bytes=now.mem_bytes,
        mem_limit=now.mem_limit,
        rx_bps=_rate(old.rx_bytes, now.rx_bytes, seconds),
        tx_bps=_rate(old.tx_bytes, now.tx_bytes, seconds),
        oom=earlier_kills + int(increase(old.oom, now.oom)),
    )


def increase(old: float, now: float) -> float:
    """A counter that fell was reset, by a restart; it has counted from zero since."""
    return now - old if now >= old else now


def _throttled_pct(old: Reading, now: Reading) -> float | None:
    if now.periods is None or now.throttled is None:
        return None
    periods = increase(old.periods or 0, now.periods)
    throttled = increase(old.throttled or 0, now.throttled)
    return round(min(100 * throttled / periods, 100), 1) if periods else 0.0


def _rate(old: int | None, now: int | None, seconds: float) -> float | None:
    return None if now is None else round(increase(old or 0, now) / seconds, 1)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(url: str, timeout_s: float = _TIMEOUT_S) -> str:
    """The body of a GET. Raises `SourceError` when the server does not answer, or not with 200."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return _get(kind(parts.hostname or "", parts.port, timeout=timeout_s), path, url)


def get_from_socket(socket_path: Path, path: str, timeout_s: float = _TIMEOUT_S) -> str:
    """The same over a Unix socket."""
    return _get(_SocketConnection(socket_path, timeout_s), path, f"{socket_path}{path}")


def lines_from_socket(socket_path: Path, path: str, timeout_s: float) -> Iterator[bytes]:
    """The lines of an answer that goes on, as they come; first an empty one, once the server has agreed to answer.

    It ends when the server ends it, or sends nothing for ``timeout_s``. Raises `SourceError` when it does not agree.
    """
    connection, what = _SocketConnection(socket_path, _TIMEOUT_S), f"{socket_path}{path}"
    try:
        connection.request("GET", path)
        connected = connection.sock
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise SourceError(f"{what} answers {answer.status}: {answer.read(200).decode(errors='replace')}")
        connected.settimeout(timeout_s)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise SourceError(f"{what} does not answer: {error}") from error
    try:
        yield b""
        yield from iter(answer.readline, b"")
    except (OSError, http.client.HTTPException):
        return
    finally:
        answer.close()
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str, what: str) -> str:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{what} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise SourceError(f"{what} answers {answer.status}: {body[:200]}")
    return body
