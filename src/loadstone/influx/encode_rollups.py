"""The lines of buckets: ``rollup``, ``rollup_all``, ``rollup_aligned``, ``errors`` and ``slow``."""

from __future__ import annotations

from bisect import bisect_right, insort
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from loadstone.domain.rollup import merged
from loadstone.influx.encode import ALIGNED_EPOCH_S, errors_line, rollup_fields, slow_line
from loadstone.influx.line_protocol import FieldValue, point, tags
from loadstone.influx.time_buckets import ALIGNED, RESOLUTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.domain.event import UsageTick, Users
    from loadstone.domain.rollup import Rollup
    from loadstone.influx.time_buckets import Bucket, TimeBuckets

__all__ = ["TARGET_SERVICE", "RollupLines", "Timeline"]

TARGET_SERVICE: Final = "target"
_RUN: Final = "run"
_NS: Final = 1_000_000_000


class RollupLines:
    """Writes buckets, together with the users and the usage of the target at their end."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._users: Timeline[dict[str, FieldValue]] = Timeline()
        self._target: Timeline[dict[str, FieldValue]] = Timeline()

    def note_users(self, users: Users, at_ns: int) -> None:
        """What the master says of its users, each second."""
        fields: dict[str, FieldValue] = {
            "users": users.users,
            "target_users": users.target_users,
            "workers": users.workers,
        }
        self._users.add(at_ns, fields)

    def note_usage(self, tick: UsageTick) -> None:
        """What the target uses, all its containers or processes together."""
        rows = [row for row in tick.rows if row.service == TARGET_SERVICE]
        if rows:
            cores, size = sum(row.cpu_cores for row in rows), sum(row.mem_bytes for row in rows)
            self._target.add(tick.at_ns, {"target_cpu_cores": float(cores), "target_mem_bytes": size})

    def due(self, spans: TimeBuckets, horizon: int) -> list[str]:
        """The lines of all buckets with news that end at or before a second."""
        lines: list[str] = []
        for res in RESOLUTIONS:
            for start, bucket in spans[res].take_due(horizon):
                lines += self._bucket(spans, res, start, bucket)
        if spans.start_second is not None:
            for elapsed_s, bucket in spans[ALIGNED].take_due(horizon - spans.start_second):
                lines.append(self._aligned(spans.start_second, elapsed_s, bucket))
        return lines

    def totals(self, spans: TimeBuckets) -> list[str]:
        """The rollups of the whole run, at its start."""
        start_s = spans.start_second or spans.first_second
        lines = [self._rollup(spans.names[name], _RUN, rollup, start_s) for name, rollup in spans.totals.items()]
        everything = rollup_fields(merged(spans.totals.values()))
        return [*lines, point("rollup_all" + tags({"run": self._run, "res": _RUN}), everything, start_s * _NS)]

    def _bucket(self, spans: TimeBuckets, res: str, start: int, bucket: Bucket) -> Iterator[str]:
        for name, rollup in bucket.rollups.items():
            yield self._rollup(spans.names[name], res, rollup, start)
        yield self._all("rollup_all" + tags({"run": self._run, "res": res}), spans, start, RESOLUTIONS[res], bucket)
        for (name, kind), found in bucket.errors.items():
            yield errors_line(self._run, spans.names[name], kind, found, start * _NS)
        for slow in bucket.slow:
            yield slow_line(self._run, spans.names[slow.name], slow)

    def _rollup(self, name: tuple[str, str], res: str, rollup: Rollup, start: int) -> str:
        series = "rollup" + tags({"run": self._run, "name": name[1], "method": name[0], "res": res})
        return point(series, rollup_fields(rollup), start * _NS)

    def _all(self, series: str, spans: TimeBuckets, start: int, width_s: int, bucket: Bucket) -> str:
        elapsed_s = None if spans.start_second is None else float(start - spans.start_second)
        fields = rollup_fields(merged(bucket.rollups.values())) | {"elapsed_s": elapsed_s}
        return point(series, fields | self._around(start + width_s), start * _NS)

    def _aligned(self, start_second: int, elapsed_s: int, bucket: Bucket) -> str:
        fields = rollup_fields(merged(bucket.rollups.values())) | {"elapsed_s": float(elapsed_s)}
        around = self._around(start_second + elapsed_s + RESOLUTIONS["10s"])
        return point("rollup_aligned" + tags({"run": self._run}), fields | around, (ALIGNED_EPOCH_S + elapsed_s) * _NS)

    def _around(self, end_second: int) -> dict[str, FieldValue]:
        users, target = self._users.before(end_second * _NS), self._target.before(end_second * _NS)
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
