"""What the Docker Engine knows of containers, for where no cAdvisor has any readings.

API 1.41 (Engine 20.10) or newer: https://docs.docker.com/reference/api/engine/version/v1.41/, "Get container stats
based on resource usage". The working set is memory usage less the inactive page cache, as in
cAdvisor.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from loadstone.domain.time import NS_PER_S
from loadstone.usage.reading import Reading, SourceError, get_from_socket

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["API", "LABEL", "DockerEngine", "cores_of", "filters", "loaded", "name_of", "reading_of"]

API: Final = "/v1.41"
LABEL: Final = "com.docker.compose."
_CONCURRENCY: Final = 32
"""The engine answers for a container when it has measured it next, which it does once a second."""
_LIMITS_EVERY_S: Final = 10.0
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_INACTIVE: Final = ("total_inactive_file", "inactive_file")
"""Names in ``memory.stat`` of control groups, version 1 and 2."""


class DockerEngine:
    """The engine behind a socket, and the compose project whose containers are read."""

    name = "the Docker Engine"
    fresh_s = 1.0

    def __init__(self, socket: Path, project: str | None) -> None:
        self._socket = socket
        self._project = project
        self._list = f"/containers/json?{filters(project)}"
        self._limits: dict[str, dict[str, Any]] = {}
        self._limits_at_s = -_LIMITS_EVERY_S
        self._pool = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="docker")

    def read(self) -> list[Reading]:
        """All running containers now. Raises `SourceError`, also when there is none.

        A container that ends meanwhile is left out.
        """
        containers = self._ask(self._list)
        self._forget_limits()
        readings = [found for found in self._pool.map(self._reading, containers) if found]
        if not readings:
            whose = f"of the project {self._project!r}" if self._project else "of any compose project"
            raise SourceError(f"the Docker Engine runs no container {whose}")
        return readings

    def _reading(self, container: dict[str, Any]) -> Reading | None:
        id_ = container["Id"]
        try:
            if id_ not in self._limits:
                self._limits[id_] = self._ask(f"/containers/{id_}/json")["HostConfig"]
            stats = self._ask(f"/containers/{id_}/stats?stream=false&one-shot=true")
        except SourceError:
            return None
        return reading_of(container, stats, self._limits[id_], now_ns=time.time_ns())

    def _forget_limits(self) -> None:
        """Limits can be changed while a container runs."""
        if time.monotonic() - self._limits_at_s >= _LIMITS_EVERY_S:
            self._limits.clear()
            self._limits_at_s = time.monotonic()

    def _ask(self, path: str) -> Any:
        return loaded(get_from_socket(self._socket, API + path))


def name_of(labels: dict[str, str]) -> tuple[str, str]:
    """Service and container, as they are recorded."""
    service = labels.get(f"{LABEL}service", "")
    return service, f"{service}-{labels.get(f'{LABEL}container-number', '1')}"


def reading_of(
    container: dict[str, Any], stats: dict[str, Any], limits: dict[str, Any], *, now_ns: int
) -> Reading | None:
    """One reading, at the time that the engine gives, else at ``now_ns``; None for a container that is not running."""
    cpu, memory = stats.get("cpu_stats") or {}, stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    service, name = name_of(container["Labels"])
    throttling = cpu.get("throttling_data") or {}
    networks = (stats.get("networks") or {}).values()
    cores = cores_of(limits)
    return Reading(
        id=container["Id"],
        service=service,
        container=name,
        at_ns=_time_ns(stats.get("read")) or now_ns,
        cpu_s=cpu["cpu_usage"]["total_usage"] / NS_PER_S,
        mem_bytes=memory["usage"] - _inactive(memory.get("stats") or {}),
        cpu_limit=cores,
        mem_limit=limits.get("Memory") or None,
        periods=throttling.get("periods") if cores else None,
        throttled=throttling.get("throttled_periods") if cores else None,
        rx_bytes=sum(network["rx_bytes"] for network in networks),
        tx_bytes=sum(network["tx_bytes"] for network in networks),
    )


def _time_ns(text: object) -> int | None:
    """A time such as ``2026-11-27T05:10:33.123456789Z``, ns since 1970; None where the engine gives none."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[1].startswith("0001"):
        return None
    seconds = int(datetime.fromisoformat(match[1] + (match[3] if match[3] != "Z" else "+00:00")).timestamp())
    return seconds * NS_PER_S + int((match[2] or "0").ljust(9, "0"))


def filters(project: str | None, **more: list[str]) -> str:
    """The part of a question that asks for the containers of one compose project, or of all of them."""
    label = f"{LABEL}project={project}" if project else f"{LABEL}project"
    return f"filters={quote(json.dumps({'label': [label], **more}))}"


def cores_of(limits: dict[str, Any]) -> float | None:
    """The limit in a container's HostConfig; None without one. Compose sets NanoCpus, other tools quota and period."""
    if nano := limits.get("NanoCpus"):
        return float(nano) / NS_PER_S
    quota, period = limits.get("CpuQuota") or 0, limits.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else None


def _inactive(stats: dict[str, int]) -> int:
    return next((stats[name] for name in _INACTIVE if name in stats), 0)


def loaded(text: str) -> Any:
    """What the engine answered. Raises `SourceError` if it is no JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"the Docker Engine does not answer in JSON: {text[:120]!r}") from error
