"""stats_history.csv, second by second, as Locust writes it with ``--csv-full-history``."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.locust_csv import AGGREGATED, PERCENTS, csv_rows, figures
from loadstone.domain.histogram import DenseHistogram
from loadstone.domain.rollup import BUCKETS, Rollup, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loadstone.domain.rollup import NameTable

__all__ = ["HistoryCsv"]

_HISTORY: Final = (
    "Timestamp",
    "User Count",
    "Type",
    "Name",
    "Requests/s",
    "Failures/s",
    *PERCENTS,
    "Total Request Count",
    "Total Failure Count",
    "Total Median Response Time",
    "Total Average Response Time",
    "Total Min Response Time",
    "Total Max Response Time",
    "Total Average Content Size",
)
_CURRENT_S: Final = 10
"""Seconds over which Locust computes its current rates and percentiles."""
_LONGEST_GAP_S: Final = 60
"""Seconds without a sample that are filled with rows; a longer gap is a clock that jumped, not a quiet run."""


class _Series:
    """One request name, or all of them: its totals so far and its last ten seconds."""

    def __init__(self) -> None:
        self.total = Rollup()  # counts and sums only: its histogram is `_all`
        self._all = DenseHistogram(BUCKETS)
        self._current = DenseHistogram(BUCKETS)
        self._recent: deque[tuple[int, Rollup]] = deque()

    def add(self, second: int, rollup: Rollup) -> None:
        """Add one second of samples."""
        self.total.merge(
            Rollup(rollup.n, rollup.err, rollup.rt_sum_us, rollup.rt_min_us, rollup.rt_max_us, rollup.bytes)
        )
        self._all.add(rollup.histogram)
        self._current.add(rollup.histogram)
        self._recent.append((second, rollup))

    def forget(self, before_second: int) -> None:
        """Let go of what is no longer current."""
        while self._recent and self._recent[0][0] < before_second:
            self._current.subtract(self._recent.popleft()[1].histogram)

    def row(self, seconds: int) -> list[Any]:
        """Everything behind the name; the current rates are over ``seconds``."""
        n = sum(rollup.n for _, rollup in self._recent)
        err = sum(rollup.err for _, rollup in self._recent)
        rates = [f"{count / seconds:2f}" for count in (n, err)]
        (median_us,) = self._all.percentiles_us((50,))
        return [*rates, *self._percentiles_ms(n), *figures(self.total, median_us)]

    def _percentiles_ms(self, n: int) -> list[int]:
        if not n:
            return [0] * len(PERCENTS)
        low, high = (
            min(rollup.rt_min_us for _, rollup in self._recent),
            max(rollup.rt_max_us for _, rollup in self._recent),
        )
        return [round(min(max(us, low), high) / 1000) for us in self._current.percentiles_us(PERCENTS.values())]


class HistoryCsv:
    """For every second the last ten seconds and the totals so far, of every name and of all of them."""

    def __init__(self, rows: Any, names: NameTable, users_at: Callable[[int], int]) -> None:
        self._rows = rows
        self._names = names
        self._users_at = users_at
        self._series: dict[int, _Series] = {}
        self._total = _Series()
        self._order: list[int] = []
        self._begun: int | None = None
        self._next = 0
        rows.writerow(_HISTORY)

    @classmethod
    @contextmanager
    def open(cls, path: Path, names: NameTable, users_at: Callable[[int], int]) -> Iterator[HistoryCsv]:
        """A history at ``path``; ``users_at`` tells how many users ran in a second."""
        with csv_rows(path) as rows:
            yield cls(rows, names, users_at)

    def write(self, second: int, rollups: dict[int, Rollup]) -> None:
        """Add one complete second; seconds must ascend. Quiet seconds since the one before get their rows, too."""
        if self._begun is None or second - self._next > _LONGEST_GAP_S:
            self._begun = self._next = second
        for quiet in range(self._next, second):
            self._write_rows(quiet, self._begun)
        for name_id, rollup in rollups.items():
            self._series_of(name_id).add(second, rollup)
        self._total.add(second, merged(rollups.values()))
        self._write_rows(second, self._begun)
        self._next = second + 1

    def _series_of(self, name_id: int) -> _Series:
        if name_id not in self._series:
            self._series[name_id] = _Series()
            self._order = sorted(self._series, key=lambda name_id: self._names[name_id][::-1])
        return self._series[name_id]

    def _write_rows(self, second: int, begun: int) -> None:
        users, seconds = self._users_at(second), min(_CURRENT_S, second - begun + 1)
        named = [(self._names[name_id], self._series[name_id]) for name_id in self._order]
        for name, series in [*named, (AGGREGATED, self._total)]:
            series.forget(second - _CURRENT_S + 1)
            self._rows.writerow([second, users, *name, *series.row(seconds)])
