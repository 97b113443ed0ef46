"""Binned: the rollups of an archive added up in bins of equal length, for groups of request names.

Histograms are merged before percentiles are taken, so a bin of ten seconds is as exact as one of a second. Memory is
bounded by bins x groups x buckets that occur, not by the length of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from loadstone.domain.histogram import bucket_bounds
from loadstone.domain.quantile import nearest_rank
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import BUCKETS
from loadstone.domain.time import MS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loadstone.archive.closed_run import RunTable

__all__ = ["SERVICE", "Binned", "Bins", "Durations", "heat_row", "heat_rows", "step_for"]

_MOST_BINS: Final = 300
"""So that a report of twenty names has less than 300 kB, whatever its length."""
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_ROWS_PER_DECADE: Final = 10
_SUMS: Final = ("n", "err")


class Durations(NamedTuple):
    """The columns of rollups that hold one kind of durations."""

    sum_us: str
    min_us: str
    max_us: str
    bucket: str
    bucket_n: str


RESPONSE: Final = Durations("rt_sum_us", "rt_min_us", "rt_max_us", "bucket", "bucket_n")
SERVICE: Final = Durations("service_sum_us", "service_min_us", "service_max_us", "service_bucket", "service_bucket_n")
"""These there are under the open model only."""


def step_for(seconds: int) -> int:
    """The length of a bin, s: the shortest that leaves at most 300 of them."""
    fitting = (step for step in _STEPS_S if seconds <= step * _MOST_BINS)
    return next(fitting, -(-seconds // _MOST_BINS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """``seconds`` in bins of ``step_s`` each, the last of which may be shorter; they begin at ``begin`` since 1970."""

    begin: int
    seconds: int
    step_s: int

    @property
    def count(self) -> int:
        """How many bins there are."""
        return -(-self.seconds // self.step_s)

    def rates(self, counts: NDArray[np.int64]) -> list[float]:
        """Counts of every bin per second of it."""
        lengths_s = np.full(self.count, self.step_s)
        lengths_s[-1:] = self.seconds - (self.count - 1) * self.step_s
        rates: list[float] = (counts / lengths_s).round(3).tolist()
        return rates


class Binned:
    """``sums``, ``sum_us`` of durations and extremes have shape (1 + groups, bins).

    Row 0 is all requests, row 1 + g the g-th group. ``groups`` maps each request name to its group. Durations are
    ``of`` response times, or of service times.
    """

    def __init__(self, groups: Mapping[RequestName, int], bins: Bins, *, of: Durations = RESPONSE) -> None:
        self.bins = bins
        self._groups = groups
        self._of = of
        shape = (2 + max(groups.values(), default=-1), bins.count)
        self.sums = {name: np.zeros(shape, np.int64) for name in _SUMS}
        self.low_us = np.full(shape, np.iinfo(np.int64).max)
        self.high_us = np.zeros(shape, np.int64)
        self.sum_us = np.zeros(shape, np.int64)
        self._keys: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []

    def add(self, rollups: RunTable) -> Self:
        """Add every row of a run's rollups."""
        for batch in rollups.batches(("second", "method", "name", *_SUMS, *self._of)):
            self._add(batch)
        self._compact()
        return self

    def percentiles_ms(self, row: int, percents: Sequence[float]) -> list[list[float | None]]:
        """Each percentile in every bin, by nearest rank, within the exact extremes; None in a bin without a request."""
        found: list[list[float | None]] = [[None] * self.bins.count for _ in percents]
        for at, buckets, counts in self._histograms(row):
            cumulative = counts.cumsum()
            n = int(cumulative[-1])
            for values, percent in zip(found, percents, strict=True):
                bucket = buckets[int(cumulative.searchsorted(nearest_rank(percent, n)))]
                middle = sum(bucket_bounds(int(bucket))) / 2
                values[at] = float(min(max(middle, self.low_us[row, at]), self.high_us[row, at])) / 1000
        return found

    def means_ms(self, row: int) -> list[float | None]:
        """The mean in every bin, exact; None in a bin without a request that has a duration."""
        found: list[float | None] = [None] * self.bins.count
        for at, _, counts in self._histograms(row):
            found[at] = float(self.sum_us[row, at]) / int(counts.sum()) / 1000
        return found

    def heat(self) -> list[list[int]]:
        """For every bin its histogram as pairs of `heat_row` and count, flat."""
        columns: list[list[int]] = [[] for _ in range(self.bins.count)]
        for at, buckets, counts in self._histograms(0):
            columns[at] = heat_rows(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))
        return columns

    def _histograms(self, row: int) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        keys, counts = self._keys[0], self._counts[0]
        row_keys = self.bins.count * BUCKETS
        first, last = np.searchsorted(keys, [row * row_keys, (row + 1) * row_keys])
        at, buckets = np.divmod(keys[first:last] - row * row_keys, BUCKETS)
        edges = np.flatnonzero(np.diff(at, prepend=-1)).tolist()
        mine = counts[first:last]
        return [(int(at[low]), buckets[low:high], mine[low:high]) for low, high in pairwise([*edges, len(at)])]

    def _add(self, batch: Any) -> None:
        seconds = np.asarray(batch.column("second").cast(pa.int64())) // MS_PER_S
        at = (seconds - self.bins.begin) // self.bins.step_s
        methods, names = (batch.column(field).to_pylist() for field in ("method", "name"))
        group = np.array([1 + self._groups[RequestName(*key)] for key in zip(methods, names, strict=True)], np.int64)
        indexes, lengths, counts = self._lists(batch)
        for row in (np.zeros_like(group), group):
            self._add_sums(batch, row, at)
            keys = np.repeat((row * self.bins.count + at) * BUCKETS, lengths) + indexes
            self._keys.append(keys)
            self._counts.append(counts)
        self._compact()

    def _add_sums(self, batch: Any, row: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        for name, sums in self.sums.items():
            np.add.at(sums, (row, at), np.asarray(batch.column(name)))
        np.add.at(self.sum_us, (row, at), np.asarray(batch.column(self._of.sum_us)))
        np.minimum.at(self.low_us, (row, at), np.asarray(batch.column(self._of.min_us)))
        np.maximum.at(self.high_us, (row, at), np.asarray(batch.column(self._of.max_us)))

    def _lists(self, batch: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The buckets of all rows, how many of them each row has, and their counts."""
        buckets, counts = batch.column(self._of.bucket), batch.column(self._of.bucket_n)
        lengths = np.diff(np.asarray(buckets.offsets)).astype(np.int64)
        return np.asarray(buckets.flatten(), np.int64), lengths, np.asarray(counts.flatten(), np.int64)

    def _compact(self) -> None:
        """Add up the counts of equal keys."""
        keys = np.concatenate([np.zeros(0, np.int64), *self._keys])
        counts = np.concatenate([np.zeros(0, np.int64), *self._counts])
        unique, place = np.unique(keys, return_inverse=True)
        self._keys = [unique]
        self._counts = [np.bincount(place, counts, len(unique)).astype(np.int64)]


def heat_row(bucket: int) -> int:
    """The row of a heatmap, ten of them to a decade: row r is from 10^(r/10) to 10^((r+1)/10) microseconds."""
    low, high = bucket_bounds(bucket)
    return int(np.floor(np.log10(max(1.0, (low + high) / 2)) * _ROWS_PER_DECADE))


def heat_rows(counts: Mapping[int, int]) -> list[int]:
    """A histogram's counts as pairs of row and count, flat."""
    rows: dict[int, int] = {}
    for bucket, count in counts.items():
        row = heat_row(bucket)
        rows[row] = rows.get(row, 0) + count
    return [value for row in sorted(rows) for value in (row, rows[row])]
