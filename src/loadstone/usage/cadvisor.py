"""Readings from cAdvisor's /metrics.

Metrics and labels: https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md. Each value carries its
own time, so scraping an unchanged sample twice changes nothing.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadstone.domain.time import NS_PER_MS
from loadstone.usage.reading import UNKNOWN, Reading, SourceError, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Cadvisor", "Measured", "parse_exposition", "readings_of"]

_COMPOSE_LABEL: Final = "container_label_com_docker_compose_"
_COUNTERS: Final = {
    "container_cpu_usage_seconds_total": "cpu_s",
    "container_cpu_cfs_periods_total": "periods",
    "container_cpu_cfs_throttled_periods_total": "throttled",
    "container_memory_working_set_bytes": "mem_bytes",
    "container_oom_events_total": "oom",
    "container_network_receive_bytes_total": "rx_bytes",
    "container_network_transmit_bytes_total": "tx_bytes",
    "container_spec_cpu_quota": "quota",
    "container_spec_cpu_period": "period",
    "container_spec_memory_limit_bytes": "mem_limit",
    "container_start_time_seconds": "started_s",
}
_NO_NAMES: Final = "it cannot reach the engine for their names: see docs/how-to/usage-of-containers.md"


class Cadvisor:
    """One cAdvisor, and the compose project whose containers are read."""

    name = "cAdvisor"
    fresh_s = 2.0  # it looks once a second, and a value is up to a second old when it is read

    def __init__(self, url: str, project: str | None, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._url = f"{url}/metrics"
        self._project = project
        self._now_ns = now_ns

    def read(self) -> list[Reading]:
        """All containers of the project now. Raises `SourceError`, also when there is none.

        Containers without names are hidden with ``--docker_only``, and without labels they belong to no project: in
        both cases cAdvisor answers properly, and has nothing to say.
        """
        readings, nameless = readings_of(get(self._url), self._project, now_ns=self._now_ns())
        if readings:
            return readings
        whose = f"of the project {self._project!r}" if self._project else "of any compose project"
        others = f", and {nameless} without names" if nameless else ""
        raise SourceError(f"cAdvisor knows no container {whose}{others}: {_NO_NAMES}")


def readings_of(text: str, project: str | None, *, now_ns: int) -> tuple[list[Reading], int]:
    """The containers of a compose project (None: of any), and how many containers have no labels at all.

    ``now_ns`` stands in for values without a time. Raises `SourceError` when the text is not cAdvisor's.
    """
    found: dict[str, dict[str, Any]] = {}
    nameless: set[str] = set()
    for measured in parse_exposition(text, "container_"):
        field = _COUNTERS.get(measured.name)
        if field is None:
            continue
        labels = measured.labels
        service = labels.get(f"{_COMPOSE_LABEL}service")
        if not service:
            _note_nameless(labels, nameless)
        elif project is None or labels.get(f"{_COMPOSE_LABEL}project") == project:
            values = found.setdefault(labels.get("id", ""), {"service": service, "at_ns": 0})
            values["number"] = labels.get(f"{_COMPOSE_LABEL}container_number") or "1"
            values[field] = values.get(field, 0) + measured.value  # one value per interface and per CPU
            if measured.name == "container_cpu_usage_seconds_total":
                values["at_ns"] = measured.at_ms * NS_PER_MS if measured.at_ms is not None else now_ns
    readings = [_reading(id_, values) for id_, values in found.items() if "cpu_s" in values]
    return readings, len(nameless)


def _note_nameless(labels: Mapping[str, str], nameless: set[str]) -> None:
    """A container without image and labels; groups above the containers, such as ``/docker``, have no such name."""
    id_ = labels.get("id", "")
    if not labels.get("name") and len(id_.rstrip("/").rpartition("/")[2].removesuffix(".scope")) >= 64:  # noqa: PLR2004  (a container's id is 64 digits)
        nameless.add(id_)


def _reading(id_: str, values: Mapping[str, Any]) -> Reading:
    quota, period = values.get("quota", 0), values.get("period", 0)
    return Reading(
        id=id_,
        service=values["service"],
        container=f"{values['service']}-{values['number']}",
        at_ns=values["at_ns"],
        cpu_s=values["cpu_s"],
        mem_bytes=int(values.get("mem_bytes", 0)),
        started_s=values.get("started_s"),
        cpu_limit=(quota / period if quota > 0 and period > 0 else None) if "period" in values else UNKNOWN,
        mem_limit=(int(values["mem_limit"]) or None) if "mem_limit" in values else UNKNOWN,
        periods=_whole(values.get("periods")),
        throttled=_whole(values.get("throttled")),
        rx_bytes=_whole(values.get("rx_bytes")),
        tx_bytes=_whole(values.get("tx_bytes")),
        oom=int(values.get("oom", 0)),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


_LINE: Final = re.compile(
    r"""(?P<name>[a-zA-Z_:][\w:]*)
        (?:\{(?P<labels>(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*)\})?
        \s+(?P<value>\S+)
        (?:\s+(?P<at_ms>-?\d+))?\s*""",
    re.VERBOSE,
)
_LABEL_PAIR: Final = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n"}


class Measured(NamedTuple):
    """One value with its labels, and its own time in milliseconds where it has one."""

    name: str
    labels: dict[str, str]
    value: float
    at_ms: int | None


def parse_exposition(text: str, prefix: str = "") -> Iterator[Measured]:
    """The values whose names begin with ``prefix``. Raises `SourceError` at the first bad line."""
    for line in text.splitlines():
        if not line.startswith("#") and line.strip() and line.startswith(prefix):
            yield _parsed(line)


def _parsed(line: str) -> Measured:
    match = _LINE.fullmatch(line)
    value = _number(match["value"]) if match else None
    if match is None or value is None:
        raise SourceError(f"this is no line of Prometheus' text format: {line[:120]!r}")
    labels = {name: _unescaped(text) for name, text in _LABEL_PAIR.findall(match["labels"] or "")}
    return Measured(match["name"], labels, value, int(match["at_ms"]) if match["at_ms"] else None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), value)
