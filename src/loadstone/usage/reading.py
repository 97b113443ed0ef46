"""Counters of containers, how they are fetched, and the usage per container and tick that is computed from them.

`get` and `get_from_socket` use the standard library: sampling needs no more than the extra `collector`, which has no
httpx, and a sampler runs beside the load test, where a lighter process disturbs less.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from loadstone.domain.time import NS_PER_S
from loadstone.domain.usage_tick import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["CounterRates", "Reading", "Source", "SourceError", "get", "get_from_socket", "increase"]

_TIMEOUT_S: Final = 3.0


class SourceError(Exception):
    """A source of readings does not answer, or its answer cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One container's counters at ``at_ns``. ``id`` changes when it is recreated, not when it is restarted.

    Totals since its start: CPU seconds, scheduling periods and those in which it was throttled, bytes received and
    sent, out-of-memory kills. Limits and memory are as they are now; None where there is no limit or no figure.
    """

    id: str
    service: str
    container: str
    at_ns: int
    cpu_s: float
    mem_bytes: int
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

    def read(self) -> Sequence[Reading]:
        """All containers now. Raises `SourceError`."""


class CounterRates:
    """Turns readings into usage since the reading before. A container's first reading gives nothing."""

    def __init__(self) -> None:
        self._before: dict[str, Reading] = {}

    def take(self, readings: Iterable[Reading]) -> tuple[Usage, ...]:
        """The usage of every container that was read before; one whose figures are not newer is left out."""
        found = {reading.id: reading for reading in readings}
        before, self._before = self._before, found
        pairs = ((before[id_], now) for id_, now in found.items() if id_ in before)
        return tuple(_usage(old, now) for old, now in pairs if now.at_ns > old.at_ns)


def _usage(old: Reading, now: Reading) -> Usage:
    seconds = (now.at_ns - old.at_ns) / NS_PER_S
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
        oom=int(increase(old.oom, now.oom)),
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
