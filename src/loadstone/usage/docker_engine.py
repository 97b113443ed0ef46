"""Readings from the Docker Engine itself, where there is no cAdvisor: API 1.41 (Engine 20.10) or newer.

Source: https://docs.docker.com/reference/api/engine/version/v1.41/, "Get container stats based on resource usage". The
working set is memory usage less the inactive page cache, as in cAdvisor.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from loadstone.domain.time import NS_PER_S
from loadstone.usage.reading import Reading, SourceError, get_from_socket

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DockerEngine", "reading_of"]

_API: Final = "/v1.41"
_LABEL: Final = "com.docker.compose."
_CONCURRENCY: Final = 4
_LIMITS_EVERY_S: Final = 10.0
_INACTIVE: Final = ("total_inactive_file", "inactive_file")
"""Names in ``memory.stat`` of control groups, version 1 and 2."""


class DockerEngine:
    """The engine behind a socket, and the compose project whose containers are read."""

    name = "the Docker Engine"

    def __init__(self, socket: Path, project: str | None) -> None:
        self._socket = socket
        label = f"{_LABEL}project={project}" if project else f"{_LABEL}project"
        self._list = f"/containers/json?filters={quote(json.dumps({'label': [label]}))}"
        self._limits: dict[str, dict[str, Any]] = {}
        self._limits_at_s = -_LIMITS_EVERY_S
        self._ooms: dict[str, int] = {}
        self._events_until_s = time.time()
        self._pool = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="docker")

    def read(self) -> list[Reading]:
        """All running containers now. Raises `SourceError`; a container that ends meanwhile is left out."""
        containers = self._ask(self._list)
        self._forget_limits()
        self._count_ooms()
        return [found for found in self._pool.map(self._reading, containers) if found]

    def _reading(self, container: dict[str, Any]) -> Reading | None:
        id_ = container["Id"]
        try:
            if id_ not in self._limits:
                self._limits[id_] = self._ask(f"/containers/{id_}/json")["HostConfig"]
            stats = self._ask(f"/containers/{id_}/stats?stream=false&one-shot=true")
        except SourceError:
            return None
        return reading_of(container, stats, self._limits[id_], oom=self._ooms.get(id_, 0), now_ns=time.time_ns())

    def _forget_limits(self) -> None:
        """Limits can be changed while a container runs."""
        if time.monotonic() - self._limits_at_s >= _LIMITS_EVERY_S:
            self._limits.clear()
            self._limits_at_s = time.monotonic()

    def _count_ooms(self) -> None:
        """The engine reports out-of-memory kills only as events."""
        until_s = time.time()
        filters = quote(json.dumps({"event": ["oom"]}))
        window = f"since={self._events_until_s:.9f}&until={until_s:.9f}"
        for line in get_from_socket(self._socket, f"{_API}/events?{window}&filters={filters}").splitlines():
            id_ = _loaded(line).get("id", "")
            self._ooms[id_] = self._ooms.get(id_, 0) + 1
        self._events_until_s = until_s

    def _ask(self, path: str) -> Any:
        return _loaded(get_from_socket(self._socket, _API + path))


def reading_of(
    container: dict[str, Any], stats: dict[str, Any], limits: dict[str, Any], *, oom: int, now_ns: int
) -> Reading | None:
    """One reading; None for a container that is not running."""
    cpu, memory = stats.get("cpu_stats") or {}, stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    labels = container["Labels"]
    service = labels.get(f"{_LABEL}service", "")
    throttling = cpu.get("throttling_data") or {}
    networks = (stats.get("networks") or {}).values()
    cores = _cores(limits)
    return Reading(
        id=container["Id"],
        service=service,
        container=f"{service}-{labels.get(f'{_LABEL}container-number', '1')}",
        at_ns=now_ns,
        cpu_s=cpu["cpu_usage"]["total_usage"] / NS_PER_S,
        mem_bytes=memory["usage"] - _inactive(memory.get("stats") or {}),
        cpu_limit=cores,
        mem_limit=limits.get("Memory") or None,
        periods=throttling.get("periods") if cores else None,
        throttled=throttling.get("throttled_periods") if cores else None,
        rx_bytes=sum(network["rx_bytes"] for network in networks),
        tx_bytes=sum(network["tx_bytes"] for network in networks),
        oom=oom,
    )


def _cores(limits: dict[str, Any]) -> float | None:
    """Compose sets NanoCpus, other tools quota and period."""
    if nano := limits.get("NanoCpus"):
        return float(nano) / NS_PER_S
    quota, period = limits.get("CpuQuota") or 0, limits.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else None


def _inactive(stats: dict[str, int]) -> int:
    return next((stats[name] for name in _INACTIVE if name in stats), 0)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"the Docker Engine does not answer in JSON: {text[:120]!r}") from error
