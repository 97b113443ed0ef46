"""The usage charts: CPU, memory and throttling of every container, each with its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec.structs import fields as fields_of

from loadstone.charts.catalogue import LIMIT, MOST_SERIES, OTHER_CONTAINERS
from loadstone.domain.host_doubts import TARGET
from loadstone.domain.live import container_label
from loadstone.domain.time import NS_PER_S
from loadstone.domain.units import MIB
from loadstone.domain.usage_tick import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from loadstone.archive.closed_run import RunTable
    from loadstone.charts.binned import Bins
    from loadstone.charts.page_data import Series

__all__ = ["admit", "read_usage_series", "usage_point"]

_CHARTS: Final[Mapping[str, tuple[str, str | None, float, Callable[[Iterable[float]], float]]]] = {
    "cpu": ("cpu_cores", "cpu_limit", 1.0, sum),
    "memory": ("mem_bytes", "mem_limit", MIB, sum),
    "throttled": ("throttled_pct", None, 1.0, max),
}
"""For each chart the field of `Usage` that it shows, the field of its limit, the size of the chart's unit, and what the
containers that share a series come to: percentages are not added up."""


def admit(own: list[str], rows: Iterable[Usage]) -> None:
    """Give containers a series of their own while there is room, by their labels: the target's first, then the busiest.

    ``own`` only ever gets longer: a container keeps its series, also where others are missing for a moment.
    """
    for row in sorted(rows, key=lambda row: (row.service != TARGET, -row.cpu_cores, row.service, row.container)):
        label = container_label(row.service, row.container)
        if len(own) < MOST_SERIES - 2 and label not in own:
            own.append(label)


def usage_point(rows: Iterable[Usage], own: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Chart to label to value of the rows of one moment; those that are not in ``own`` share a series.

    The limit drawn is the lowest that any of them has.
    """
    rows = list(rows)
    return {chart: _values(rows, own, *fields) for chart, fields in _CHARTS.items()}


def _values(
    rows: Sequence[Usage],
    own: Sequence[str],
    field: str,
    limit_field: str | None,
    unit: float,
    shared: Callable[[Iterable[float]], float],
) -> dict[str, float | None]:
    read = [(container_label(row.service, row.container), getattr(row, field)) for row in rows]
    values = {label: value / unit for label, value in read if value is not None}
    found: dict[str, float | None] = {label: values.pop(label) for label in own if label in values}
    rest = [*values.values()]
    if rest:
        found[OTHER_CONTAINERS] = float(shared(rest))
    limits = [limit / unit for row in rows if limit_field and (limit := getattr(row, limit_field))]
    if limits:
        found[LIMIT] = min(limits)
    return found


def read_usage_series(usage: RunTable, bins: Bins) -> dict[str, Series]:
    """Chart to label to values per bin: the mean of CPU over a bin, the highest of memory and throttling."""
    moments: dict[int, list[Usage]] = {}
    columns = [each.name for each in fields_of(Usage) if each.required or each.name in usage.schema.names]
    for batch in usage.batches(["at", *columns]):
        at = np.asarray(batch.column("at").cast(pa.int64())).tolist()
        for at_ns, row in zip(at, batch.drop_columns(["at"]).to_pylist(), strict=True):
            moments.setdefault(at_ns, []).append(Usage(**row))
    own: list[str] = []
    admit(own, _totals(moments.values()))
    gathered: dict[str, dict[str, list[list[float]]]] = {
        chart: {label: [] for label in (*own, OTHER_CONTAINERS, LIMIT)} for chart in _CHARTS
    }
    for at_ns, rows in moments.items():
        bin_ = (at_ns // NS_PER_S - bins.begin) // bins.step_s
        if 0 <= bin_ < bins.count:
            _gather(gathered, usage_point(rows, own), bin_, bins.count)
    return {chart: _folded(labels, np.mean if chart == "cpu" else np.max) for chart, labels in gathered.items()}


def _totals(moments: Iterable[Iterable[Usage]]) -> list[Usage]:
    """What each container used of the CPU, of all moments together."""
    found: dict[tuple[str, str], float] = {}
    for rows in moments:
        for row in rows:
            found[row.service, row.container] = found.get((row.service, row.container), 0.0) + row.cpu_cores
    return [Usage(service=service, container=name, cpu_cores=cores) for (service, name), cores in found.items()]


def _gather(
    gathered: dict[str, dict[str, list[list[float]]]],
    point: Mapping[str, Mapping[str, float | None]],
    at: int,
    bins: int,
) -> None:
    for chart, values in point.items():
        for label, value in values.items():
            if value is not None:
                of = gathered[chart][label]
                of.extend([] for _ in range(bins - len(of)))
                of[at].append(value)


def _folded(labels: Mapping[str, list[list[float]]], fold: Callable[[list[float]], Any]) -> Series:
    return {
        label: [round(float(fold(values)), 4) if values else None for values in bins]
        for label, bins in labels.items()
        if bins
    }
