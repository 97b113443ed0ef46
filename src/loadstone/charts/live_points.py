"""LivePoints: a run's complete seconds as points for charts, while it runs.

A second is drawn once no live worker can add to it, from the same rollups that the archive is made of; when a late
batch changes it after all, it is drawn again. The newest half hour is kept: the report has all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.charts.binned import heat_rows
from loadstone.charts.catalogue import LATENCY_PERCENTS, MOST_SERIES, OTHER_NAMES, label_of
from loadstone.charts.usage_series import usage_point
from loadstone.domain.rollup import Rollup, merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.fold import RunState

__all__ = ["KEPT_S", "LivePoints"]

KEPT_S: Final = 1800
"""Seconds that a live page shows."""
_NS: Final = 1_000_000_000
_USAGE: Final = ("service", "container", "cpu_cores", "cpu_limit", "throttled_pct", "mem_bytes", "mem_limit")


class LivePoints:
    """The points of one run; who saw change ``number`` N asks for what came after it.

    ``begin``: second since 1970 from which points count; None before the run has one.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.number = 0
        self._points: dict[int, tuple[int, dict[str, Any]]] = {}
        self._prints: dict[int, tuple[int, ...]] = {}
        self._users: dict[int, dict[str, int]] = {}
        self._usage: dict[int, dict[str, dict[str, float | None]]] = {}
        self._own: dict[int, str] = {}

    def update(self, state: RunState) -> None:
        """Take in what is new."""
        self._note(state)
        started_ns = state.about.started_ns
        first = min(state.open_seconds, default=None)
        if self.begin is None and (started_ns or first):
            self.begin = started_ns // _NS if started_ns else first
        if self.begin is None:
            return
        end = state.watermark_second()
        for second in range(max(self.begin, end - KEPT_S, first or 0), end):
            self._update_second(state, second, state.open_seconds.get(second, {}))
        self._forget(end - KEPT_S)

    def since(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        """Points that changed after ``number``: seconds since ``begin``, and chart to label to value."""
        begin = self.begin or 0
        return [(second - begin, point) for second, (at, point) in sorted(self._points.items()) if at > number]

    @property
    def oldest(self) -> int:
        """The first second, since ``begin``, that is still kept."""
        return min(self._points, default=0) - (self.begin or 0) if self._points else 0

    def _note(self, state: RunState) -> None:
        about = state.about
        self._users[about.newest_ns // _NS] = {"users": about.users, "wanted": about.target_users}
        rows: dict[int, list[dict[str, Any]]] = {}
        for at_ns, usage in state.usage.values():
            rows.setdefault(at_ns // _NS, []).append({name: getattr(usage, name) for name in _USAGE})
        for second, found in rows.items():
            self._usage[second] = usage_point(found)

    def _update_second(self, state: RunState, second: int, rollups: Mapping[int, Rollup]) -> None:
        users = self._users.get(second) or self._users_before(second)
        usage = self._usage.get(second, {})
        sums = [(rollup.n, rollup.err, rollup.rt_sum_us) for rollup in rollups.values()]
        print_ = (*map(sum, zip(*sums, strict=True)), *users.values(), len(usage))
        if self._prints.get(second) == print_:
            return
        self.number += 1
        self._prints[second] = print_
        self._points[second] = (self.number, {"users": users, **usage, **self._requests(state, rollups)})

    def _users_before(self, second: int) -> dict[str, int]:
        earlier = [at for at in self._users if at <= second]
        return self._users[max(earlier)] if earlier else {}

    def _requests(self, state: RunState, rollups: Mapping[int, Rollup]) -> dict[str, Any]:
        total = merged(rollups.values())
        rate = {"requests": total.n, "failures": total.err}
        if not total.n:
            return {"rate": rate}
        values = total.percentiles_us(LATENCY_PERCENTS.values())
        latency = {name: us / 1000 for name, us in zip(LATENCY_PERCENTS, values, strict=True)}
        by_label = self._by_label(state, rollups)
        return {
            "rate": rate,
            "latency": {**latency, "max": total.rt_max_us / 1000},
            "failures": {"failed": round(100 * total.err_ratio, 4)},
            "names_rate": {label: rollup.n for label, rollup in by_label.items()},
            "names_p95": {label: rollup.percentile_us(95) / 1000 for label, rollup in by_label.items()},
            "heat": heat_rows(total.histogram.counts),
        }

    def _by_label(self, state: RunState, rollups: Mapping[int, Rollup]) -> dict[str, Rollup]:
        """The first names of a run keep a series of their own; all further ones share one."""
        found: dict[str, list[Rollup]] = {}
        for name_id, rollup in rollups.items():
            if name_id not in self._own and len(self._own) < MOST_SERIES - 1:
                self._own[name_id] = label_of(*state.names[name_id])
            found.setdefault(self._own.get(name_id, OTHER_NAMES), []).append(rollup)
        return {label: merged(parts) for label, parts in found.items()}

    def _forget(self, before: int) -> None:
        for kept in (self._points, self._prints, self._users, self._usage):
            for second in [second for second in kept if second < before]:
                del kept[second]
