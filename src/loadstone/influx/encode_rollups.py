"""The lines of time buckets: ``rollup``, ``rollup_all``, ``rollup_aligned``, ``errors`` and ``slow``."""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

from loadstone.domain.histogram import bucket_indexes
from loadstone.domain.rollup import merged
from loadstone.domain.time import NS_PER_S
from loadstone.influx.encode import errors_line, slow_line
from loadstone.influx.line_protocol import FieldValue, point, tags
from loadstone.influx.time_buckets import ALIGNED, RESOLUTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadstone.domain.event import Users
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.usage_tick import UsageTick
    from loadstone.influx.time_buckets import Bucket, TimeBuckets

__all__ = ["ALIGNED_EPOCH_S", "TARGET_SERVICE", "RollupLines", "Timeline", "rollup_fields"]

TARGET_SERVICE: Final = "target"
ALIGNED_EPOCH_S: Final = 4_102_444_800
"""2100-01-01T00:00:00Z, the t = 0 of ``rollup_aligned``: in the future, so that no retention period refuses it."""

PERCENTS: Final = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
LIMITS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_LIMIT_BUCKETS: Final = bucket_indexes(np.array(LIMITS_MS, np.int64) * 1000).tolist()
_RUN: Final = "run"


def rollup_fields(rollup: Rollup, *, open_model: bool = False) -> dict[str, FieldValue]:
    """Counts, sums (ms, bytes), extremes and percentiles (ms), and how many took at most each limit (ms).

    Under the open model these are of response times, and there are further ones of service times.
    """
    counted: dict[str, FieldValue] = {
        "n": rollup.n,
        "err": rollup.err,
        "timed": rollup.timed,
        "bytes": rollup.bytes,
    }
    if not rollup.timed:
        return counted
    service = _times(rollup.by_service, "service_", "service_") if open_model else {}
    return {**counted, **_times(rollup, "rt_", ""), **_at_most(rollup), **service}


def _times(rollup: Rollup, times: str, percentiles: str) -> dict[str, FieldValue]:
    """Sum, extremes and percentiles, ms; their names begin with ``times`` and ``percentiles``."""
    found: dict[str, float] = {
        f"{times}sum": rollup.rt_sum_us,
        f"{times}min": rollup.rt_min_us,
        f"{times}max": rollup.rt_max_us,
    }
    for name, value_us in zip(PERCENTS, rollup.percentiles_us(PERCENTS.values()), strict=True):
        found[f"{percentiles}{name}"] = value_us
    return {key: value / 1000 for key, value in found.items()}


def _at_most(rollup: Rollup) -> dict[str, FieldValue]:
    buckets = sorted(rollup.histogram.counts)
    up_to = [0, *accumulate(rollup.histogram.counts[bucket] for bucket in buckets)]
    pairs = zip(LIMITS_MS, _LIMIT_BUCKETS, strict=True)
    return {f"le_{limit}": up_to[bisect_right(buckets, bucket)] for limit, bucket in pairs}


class RollupLines:
    """Formats time buckets, with the users and the target's usage at the end of each.

    ``open_model``: whether there are service times beside response times.
    """

    def __init__(self, run: str) -> None:
        self.open_model = False
        self._run = run
        self._users: Timeline[dict[str, FieldValue]] = Timeline()
        self._target: Timeline[dict[str, FieldValue]] = Timeline()

    def note_users(self, users: Users, at_ns: int) -> None:
        """Note the master's count of users, which comes every second."""
        fields: dict[str, FieldValue] = {
            "users": users.users,
            "target_users": users.target_users,
            "workers": users.workers,
        }
        self._users.add(at_ns, fields)

    def note_usage(self, tick: UsageTick) -> None:
        """Note what the target uses, all its containers or processes together."""
        rows = [row for row in tick.rows if row.service == TARGET_SERVICE]
        if rows:
            cores, size = sum(row.cpu_cores for row in rows), sum(row.mem_bytes for row in rows)
            self._target.add(tick.at_ns, {"target_cpu_cores": float(cores), "target_mem_bytes": size})

    def due(self, buckets: TimeBuckets, horizon: int) -> list[str]:
        """The lines of all buckets with news that end at or before a second."""
        lines: list[str] = []
        for res in RESOLUTIONS:
            for start, bucket in buckets[res].take_due(horizon):
                lines += self._bucket(buckets, res, start, bucket)
        if buckets.start_second is not None:
            for elapsed_s, bucket in buckets[ALIGNED].take_due(horizon - buckets.start_second):
                lines.append(self._aligned(buckets.start_second, elapsed_s, bucket))
        return lines

    def totals(self, buckets: TimeBuckets) -> list[str]:
        """The rollups of the whole run, at its start."""
        start_s = buckets.start_second or buckets.first_second
        lines = [self._rollup(buckets.names[name], _RUN, rollup, start_s) for name, rollup in buckets.totals.items()]
        everything = self._fields(buckets.totals.values())
        return [*lines, point("rollup_all" + tags({"run": self._run, "res": _RUN}), everything, start_s * NS_PER_S)]

    def _bucket(self, buckets: TimeBuckets, res: str, start: int, bucket: Bucket) -> Iterator[str]:
        for name, rollup in bucket.rollups.items():
            yield self._rollup(buckets.names[name], res, rollup, start)
        yield self._all("rollup_all" + tags({"run": self._run, "res": res}), buckets, start, RESOLUTIONS[res], bucket)
        for (name, kind), found in bucket.errors.items():
            yield errors_line(self._run, buckets.names[name], kind, found, start * NS_PER_S)
        for slow in bucket.slow:
            yield slow_line(self._run, buckets.names[slow.name], slow)

    def _rollup(self, name: RequestName, res: str, rollup: Rollup, start: int) -> str:
        series = "rollup" + tags({"run": self._run, "name": name.name, "method": name.method, "res": res})
        return point(series, rollup_fields(rollup, open_model=self.open_model), start * NS_PER_S)

    def _fields(self, rollups: Iterable[Rollup]) -> dict[str, FieldValue]:
        return rollup_fields(merged(rollups), open_model=self.open_model)

    def _all(self, series: str, buckets: TimeBuckets, start: int, width_s: int, bucket: Bucket) -> str:
        elapsed_s = None if buckets.start_second is None else float(start - buckets.start_second)
        fields = self._fields(bucket.rollups.values()) | {"elapsed_s": elapsed_s}
        return point(series, fields | self._around(start + width_s), start * NS_PER_S)

    def _aligned(self, start_second: int, elapsed_s: int, bucket: Bucket) -> str:
        fields = self._fields(bucket.rollups.values()) | {"elapsed_s": float(elapsed_s)}
        around = self._around(start_second + elapsed_s + RESOLUTIONS["10s"])
        return point(
            "rollup_aligned" + tags({"run": self._run}), fields | around, (ALIGNED_EPOCH_S + elapsed_s) * NS_PER_S
        )

    def _around(self, end_second: int) -> dict[str, FieldValue]:
        users, target = self._users.before(end_second * NS_PER_S), self._target.before(end_second * NS_PER_S)
        return {**(users or {}), **(target or {})}


T = TypeVar("T")
_KEPT: Final = 600
_AT = itemgetter(0)


class Timeline(Generic[T]):
    """Values with the time (ns) from which they hold; the newest 600 are kept."""

    def __init__(self) -> None:
        self._values: list[tuple[int, T]] = []

    def add(self, at_ns: int, value: T) -> None:
        """Note a value; times may come in any order."""
        insort(self._values, (at_ns, value), key=_AT)
        del self._values[:-_KEPT]

    def before(self, end_ns: int) -> T | None:
        """The value that held right before a moment; None when none is known."""
        at = bisect_right(self._values, end_ns - 1, key=_AT)
        return self._values[at - 1][1] if at else None
