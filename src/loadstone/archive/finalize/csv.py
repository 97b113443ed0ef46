"""The CSV files that Locust writes with ``--csv NAME --csv-full-history``, made from rollups.

Headers, order of rows, units and line ends are those of ``locust.stats.StatsCSVFileWriter`` (Locust 2.47; a test
compares). Milliseconds; percentiles are whole ones, as Locust's, but come from histograms that are at most 0.4 % off.
Under the open model further columns at the end of each row tell service times; all others are of response times.
"""

from __future__ import annotations

import csv
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadstone.domain.histogram import DenseHistogram
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import BUCKETS, Rollup, merged
from loadstone.domain.time import NS_PER_S, US_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from loadstone.archive.finalize.blocks import Block
    from loadstone.archive.lifecycle import UserException
    from loadstone.domain.request_name import NameTable

__all__ = [
    "AGGREGATED",
    "FAILURE_LIMIT",
    "PERCENTS",
    "Failure",
    "FailureTable",
    "HistoryCsv",
    "csv_rows",
    "figures",
    "write_exceptions",
    "write_failures",
    "write_stats",
]

AGGREGATED: Final = RequestName("", "Aggregated")
PERCENTS: Final[Mapping[str, float]] = {
    "50%": 50,
    "66%": 66,
    "75%": 75,
    "80%": 80,
    "90%": 90,
    "95%": 95,
    "98%": 98,
    "99%": 99,
    "99.9%": 99.9,
    "99.99%": 99.99,
    "100%": 100,
}
_STATS: Final = (
    "Type",
    "Name",
    "Request Count",
    "Failure Count",
    "Median Response Time",
    "Average Response Time",
    "Min Response Time",
    "Max Response Time",
    "Average Content Size",
    "Requests/s",
    "Failures/s",
    *PERCENTS,
)
_SERVICE_TIMES: Final = ("Median Service Time", "Average Service Time", "Min Service Time", "Max Service Time")
_SERVICE_PERCENTS: Final = tuple(f"Service {percent}" for percent in PERCENTS)
_FAILURES: Final = ("Method", "Name", "Error", "Occurrences", "First Seen", "Last Seen")
_EXCEPTIONS: Final = ("Count", "Message", "Traceback", "Nodes")


@contextmanager
def csv_rows(path: Path) -> Iterator[Any]:
    """A writer of CSV rows into a file, with Locust's line ends."""
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        yield csv.writer(file)


def write_stats(
    path: Path, totals: Mapping[RequestName, Rollup], duration_s: float, *, open_model: bool = False
) -> None:
    """stats.csv: totals per request name; rates are over ``duration_s``, from the start to the last request."""
    with csv_rows(path) as rows:
        rows.writerow([*_STATS, *((*_SERVICE_TIMES, *_SERVICE_PERCENTS) if open_model else ())])
        for name, rollup in [*_in_order(totals), (AGGREGATED, merged(totals.values()))]:
            rates = [count / duration_s if duration_s > 0 else 0.0 for count in (rollup.n, rollup.err)]
            row = [*name, *figures(rollup, rollup.percentile_us(50)), *rates, *_percentiles(rollup)]
            if open_model:
                service = rollup.by_service
                row += [*_times(service, service.percentile_us(50)), *_percentiles(service)]
            rows.writerow(row)


def write_failures(path: Path, failures: Mapping[tuple[RequestName, str], Failure]) -> None:
    """failures.csv, in Locust's order, which is that of a digest of method, name and error."""
    with csv_rows(path) as rows:
        rows.writerow(_FAILURES)
        for (name, error), failure in sorted(failures.items(), key=lambda item: _locust_key(*item[0])):
            seen = (_second_text(failure.first_ns), _second_text(failure.last_ns))
            rows.writerow([*name, error, failure.count, *seen])


def write_exceptions(path: Path, exceptions: Mapping[tuple[str, str], UserException]) -> None:
    """exceptions.csv, in order of first appearance."""
    with csv_rows(path) as rows:
        rows.writerow(_EXCEPTIONS)
        for (message, traceback), exception in exceptions.items():
            rows.writerow([exception.count, message, traceback, ", ".join(exception.nodes)])


def _in_order(totals: Mapping[RequestName, Rollup]) -> list[tuple[RequestName, Rollup]]:
    """Locust sorts by name, then method."""
    return sorted(totals.items(), key=lambda item: item[0][::-1])


def figures(rollup: Rollup, median_us: float) -> list[float]:
    """Requests, failures, then median, mean, minimum and maximum (ms), then mean size (bytes)."""
    return [rollup.n, rollup.err, *_times(rollup, median_us), rollup.bytes / rollup.n if rollup.n else 0]


def _times(rollup: Rollup, median_us: float) -> list[float]:
    """Median, mean, minimum and maximum, ms."""
    low_ms, high_ms = rollup.rt_min_us / US_PER_MS, rollup.rt_max_us / US_PER_MS
    return [
        max(min(round(median_us / US_PER_MS), high_ms), low_ms) or 0,  # whole, but never outside the exact extremes
        rollup.mean_us / US_PER_MS,
        low_ms or 0,
        high_ms or 0,
    ]


def _percentiles(rollup: Rollup) -> list[Any]:
    if not rollup.n:
        return ["N/A"] * len(PERCENTS)
    return [round(value / US_PER_MS) for value in rollup.percentiles_us(PERCENTS.values())]


def _locust_key(name: RequestName, error: str) -> str:
    """The key by which Locust sorts failures (``StatsError.create_key``)."""
    return sha256(f"{name.method}.{name.name}.{error!r}".encode("utf-8", "replace")).hexdigest()


def _second_text(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
_SERVICE_HISTORY: Final = (*_SERVICE_PERCENTS, *(f"Total {column}" for column in _SERVICE_TIMES))
_CURRENT_S: Final = 10
"""Seconds over which Locust computes its current rates and percentiles."""
_LONGEST_GAP_S: Final = 60
"""Seconds without a sample that are filled with rows; a longer gap means that a clock jumped."""


class _Series:
    """One request name, or all of them: its totals so far and its last ten seconds, by service time too if told so."""

    def __init__(self, *, with_service: bool = False) -> None:
        self._service = _Series() if with_service else None
        self.total = Rollup()  # counts and sums only: its histogram is `_all`
        self._all = DenseHistogram(BUCKETS)
        self._current = DenseHistogram(BUCKETS)
        self._recent: deque[tuple[int, Rollup]] = deque()

    def add(self, second: int, rollup: Rollup) -> None:
        """Add one second of samples."""
        if self._service is not None:
            self._service.add(second, rollup.by_service)
        extremes = (rollup.rt_min_us, rollup.rt_max_us)
        self.total.merge(
            Rollup(rollup.n, rollup.err, rollup.rt_sum_us, *extremes, rollup.bytes, untimed=rollup.untimed)
        )
        self._all.add(rollup.histogram)
        self._current.add(rollup.histogram)
        self._recent.append((second, rollup))

    def forget(self, before_second: int) -> None:
        """Remove the seconds before ``before_second`` from the current ones."""
        if self._service is not None:
            self._service.forget(before_second)
        while self._recent and self._recent[0][0] < before_second:
            self._current.subtract(self._recent.popleft()[1].histogram)

    def row(self, seconds: int) -> list[Any]:
        """Everything behind the name; the current rates are over ``seconds``."""
        n = sum(rollup.n for _, rollup in self._recent)
        err = sum(rollup.err for _, rollup in self._recent)
        rates = [f"{count / seconds:2f}" for count in (n, err)]
        row = [*rates, *self._percentiles_ms(), *figures(self.total, self._median_us())]
        return row if self._service is None else [*row, *self._service.times()]

    def times(self) -> list[Any]:
        """Percentiles of the current seconds, then median, mean, minimum and maximum of all, ms."""
        return [*self._percentiles_ms(), *_times(self.total, self._median_us())]

    def _median_us(self) -> float:
        return self._all.percentiles_us((50,))[0]

    def _percentiles_ms(self) -> list[int]:
        timed = [rollup for _, rollup in self._recent if rollup.timed]
        if not timed:
            return [0] * len(PERCENTS)
        low, high = min(rollup.rt_min_us for rollup in timed), max(rollup.rt_max_us for rollup in timed)
        return [round(min(max(us, low), high) / US_PER_MS) for us in self._current.percentiles_us(PERCENTS.values())]


class HistoryCsv:
    """For every second the last ten seconds and the totals so far, of every name and of all of them."""

    def __init__(
        self, rows: Any, names: NameTable, users_at: Callable[[int], int], *, open_model: bool = False
    ) -> None:
        self._rows = rows
        self._names = names
        self._users_at = users_at
        self._series: dict[int, _Series] = {}
        self._open_model = open_model
        self._total = _Series(with_service=open_model)
        self._order: list[int] = []
        self._begun: int | None = None
        self._next = 0
        rows.writerow([*_HISTORY, *(_SERVICE_HISTORY if open_model else ())])

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, names: NameTable, users_at: Callable[[int], int], *, open_model: bool = False
    ) -> Iterator[HistoryCsv]:
        """A history at ``path``; ``users_at`` gives the number of users in a second."""
        with csv_rows(path) as rows:
            yield cls(rows, names, users_at, open_model=open_model)

    def write(self, second: int, rollups: dict[int, Rollup]) -> None:
        """Add one complete second; seconds must ascend. Seconds without a sample in between get their rows too."""
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
            self._series[name_id] = _Series(with_service=self._open_model)
            self._order = sorted(self._series, key=lambda name_id: self._names[name_id][::-1])
        return self._series[name_id]

    def _write_rows(self, second: int, begun: int) -> None:
        users, seconds = self._users_at(second), min(_CURRENT_S, second - begun + 1)
        named = [(self._names[name_id], self._series[name_id]) for name_id in self._order]
        for name, series in [*named, (AGGREGATED, self._total)]:
            series.forget(second - _CURRENT_S + 1)
            self._rows.writerow([second, users, *name, *series.row(seconds)])


FAILURE_LIMIT: Final = 10_000
"""How many combinations of request name and error text are counted separately."""
_OTHER_ERROR: Final = "further errors"


@dataclass(slots=True)
class Failure:
    """One error text of one request name; times are wall clock, ns."""

    count: int
    first_ns: int
    last_ns: int


class FailureTable:
    """``failures``: request name and error text to `Failure`."""

    def __init__(self, limit: int = FAILURE_LIMIT) -> None:
        self.limit = limit
        self.failures: dict[tuple[RequestName, str], Failure] = {}

    def count(self, block: Block) -> None:
        """Count the failed samples of a block."""
        at = np.flatnonzero(block.failed)
        if not len(at):
            return
        keys, group, counts = np.unique(
            block.pair[at] * len(block.errors) + block.error[at], return_inverse=True, return_counts=True
        )
        first = np.full(len(keys), np.iinfo(np.int64).max)
        last = np.zeros(len(keys), np.int64)
        np.minimum.at(first, group, block.end_ns[at])
        np.maximum.at(last, group, block.end_ns[at])
        rows = zip(keys.tolist(), counts.tolist(), first.tolist(), last.tolist(), strict=True)
        for key, *failure in rows:
            pair, error = divmod(key, len(block.errors))
            self._add(block.pairs[pair], block.errors[error], Failure(*failure))

    def _add(self, name: RequestName, error: str, new: Failure) -> None:
        key = (name, error)
        if key not in self.failures and len(self.failures) >= self.limit:
            key = (RequestName("", ""), _OTHER_ERROR)
        known = self.failures.get(key)
        if known is None:
            self.failures[key] = new
        else:
            known.count += new.count
            known.first_ns = min(known.first_ns, new.first_ns)
            known.last_ns = max(known.last_ns, new.last_ns)
