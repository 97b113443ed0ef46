"""TimeBuckets: one run's samples counted by time at every resolution, with its kinds of errors and its totals."""

from __future__ import annotations

import re
from bisect import insort
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from loadstone.domain.batch import NO_ERROR
from loadstone.domain.rollup import Rollup, merged, response_us
from loadstone.domain.time import NS_PER_S
from loadstone.influx.encode import Slow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loadstone.archive.run_state import BatchAggregate
    from loadstone.domain.batch import Batch
    from loadstone.domain.request_name import NameTable

__all__ = [
    "ALIGNED",
    "RESOLUTIONS",
    "SLOWEST",
    "SLOW_SPAN_S",
    "Bucket",
    "Buckets",
    "Failed",
    "TimeBuckets",
    "error_kind",
    "failures",
    "slowest",
]

RESOLUTIONS: Final = {"1s": 1, "10s": 10, "60s": 60}
ALIGNED: Final = "aligned"
_WIDTHS: Final = {**RESOLUTIONS, ALIGNED: 10}
_KEPT: Final = {"1s": 60, "10s": 12, "60s": 3, ALIGNED: 12}
"""Buckets kept, two minutes or so: late data within that time rewrites its seconds at once."""

_KIND_LIMIT: Final = 50
_OTHER_KIND: Final = "__other__"
_EARLY_LIMIT: Final = 1000
_SLICE: Final = 600
"""Buckets per resolution that are recomputed in one pass over the journal; this limits the memory it takes."""


class TimeBuckets:
    """The buckets of every resolution of one run. ``only`` limits them to these, by resolution.

    ``names`` is the run's table of names; `BatchAggregate` admits names to it.
    """

    def __init__(self, names: NameTable, *, only: dict[str, frozenset[int]] | None = None) -> None:
        self.names = names
        self.totals: dict[int, Rollup] = {}
        self.limited = only is not None
        self.start_second: int | None = None
        self.first_second = self.end_second = 0
        self._buckets = {
            key: Buckets(width, keep=_KEPT[key], only=only.get(key, frozenset()) if only is not None else None)
            for key, width in _WIDTHS.items()
        }
        self._kinds: set[str] = set()
        self._early: list[tuple[int, Rollup]] = []

    def __getitem__(self, key: str) -> Buckets:
        return self._buckets[key]

    def __len__(self) -> int:
        """Buckets kept now, of all resolutions."""
        return sum(map(len, self._buckets.values()))

    def begin(self, second: int) -> None:
        """The run started in this second: elapsed time counts from it. Only the first call counts."""
        if self.start_second is None:
            self.start_second = second
            for early_second, rollup in self._early:
                self._add_aligned(early_second, rollup)
            self._early.clear()

    def add(self, aggregate: BatchAggregate) -> None:
        """Count a batch in; it has at least one sample, and its names are admitted to `names`."""
        batch, ids = aggregate.batch, aggregate.name_ids
        for (second, name), rollup in aggregate.rollups.items():
            self._add_rollup(second, name, rollup)
        for failed in failures(batch, ids):
            bucket = self._buckets["1s"].bucket(failed.second)
            if bucket is not None:
                kind = self._kind(error_kind(failed.error, failed.status))
                bucket.add_errors(failed.name, kind, failed.n, failed.status, failed.error)
        for second, slow in slowest(batch, ids):
            bucket = self._buckets[f"{SLOW_SPAN_S}s"].bucket(second)
            if bucket is not None:
                bucket.add_slow(slow)

    def fill(self, to_second: int) -> None:
        """Make the buckets of quiet seconds."""
        for key in RESOLUTIONS:
            self._buckets[key].fill(to_second)
        if self.start_second is not None:
            self._buckets[ALIGNED].fill(to_second - self.start_second)

    def slices_of_dirty(self) -> Iterator[TimeBuckets]:
        """Empty time buckets for everything that has to be recomputed, in slices of limited size."""
        slices = [_slices(sorted(self._buckets[key].dirty)) for key in _WIDTHS]
        for parts in zip_longest(*slices, fillvalue=frozenset[int]()):
            anew = TimeBuckets(self.names, only=dict(zip(_WIDTHS, parts, strict=True)))
            anew.start_second = self.start_second
            yield anew

    def _add_rollup(self, second: int, name: int, rollup: Rollup) -> None:
        self.first_second = min(self.first_second or second, second)
        self.end_second = max(self.end_second, second + max(_WIDTHS.values()))
        self.totals.setdefault(name, Rollup()).merge(rollup)
        for key in RESOLUTIONS:
            bucket = self._buckets[key].bucket(second)
            if bucket is not None:
                bucket.add(name, rollup)
        if self.start_second is not None:
            self._add_aligned(second, rollup)
        elif len(self._early) < _EARLY_LIMIT:
            self._early.append((second, merged([rollup])))

    def _add_aligned(self, second: int, rollup: Rollup) -> None:
        bucket = self._buckets[ALIGNED].bucket(second - (self.start_second or 0))
        if bucket is not None:
            bucket.add(0, rollup)

    def _kind(self, kind: str) -> str:
        if kind not in self._kinds:
            if len(self._kinds) >= _KIND_LIMIT:
                return _OTHER_KIND
            self._kinds.add(kind)
        return kind


def _slices(starts: list[int]) -> list[frozenset[int]]:
    return [frozenset(starts[at : at + _SLICE]) for at in range(0, len(starts), _SLICE)]


class Bucket:
    """One span of time. ``has_news``: it changed since it was written.

    ``rollups``: by name id. ``errors``: by (name id, kind), ``(n, status, sample)``. ``slow``: its slowest requests.
    """

    __slots__ = ("errors", "has_news", "rollups", "slow")

    def __init__(self) -> None:
        self.rollups: dict[int, Rollup] = {}
        self.errors: dict[tuple[int, str], tuple[int, int, str]] = {}
        self.slow: list[Slow] = []
        self.has_news = True

    def add(self, name: int, rollup: Rollup) -> None:
        """Count a rollup in; the given one is not kept."""
        self.rollups.setdefault(name, Rollup()).merge(rollup)
        self.has_news = True

    def add_errors(self, name: int, kind: str, n: int, status: int, sample: str) -> None:
        """Count ``n`` errors of one kind in; status and sample of the first ones stay."""
        before = self.errors.get((name, kind), (0, status, sample))
        self.errors[name, kind] = (before[0] + n, before[1], before[2])
        self.has_news = True

    def add_slow(self, slow: Slow) -> None:
        """Keep a request if it is one of the ten slowest."""
        insort(self.slow, slow, key=_without_text)
        del self.slow[:-SLOWEST]
        self.has_news = True


def _without_text(slow: Slow) -> tuple[Any, ...]:
    """The sort key of slow requests: everything but the error, which may be None and cannot be ordered."""
    return slow[:-1]


class Buckets:
    """The newest buckets of ``width_s`` seconds, by the second in which each begins.

    ``keep`` is how many are kept. With ``only`` all of these are kept and data for any other one is passed over.
    """

    def __init__(self, width_s: int, *, keep: int, only: frozenset[int] | None = None) -> None:
        self.width_s = width_s
        self.dirty: set[int] = set()
        self._keep = keep
        self._only = only
        self._kept: dict[int, Bucket] = {}
        self._given_up: int | None = None
        self._filled_to: int | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def bucket(self, second: int) -> Bucket | None:
        """The bucket that a second belongs to; None when it is not kept (any more)."""
        start = second - second % self.width_s
        found = self._kept.get(start)
        if found is not None:
            return found
        if self._only is not None:
            return self._kept.setdefault(start, Bucket()) if start in self._only else None
        if self._given_up is not None and start <= self._given_up:
            self.dirty.add(start)
            return None
        return self._kept.setdefault(start, Bucket())

    def fill(self, to_second: int) -> None:
        """Make the empty buckets of quiet times up to a second, at most as many as are kept."""
        end = to_second - to_second % self.width_s
        if self._filled_to is None and self._kept:
            self._filled_to = min(self._kept)
        if self._only is None and self._filled_to is not None:
            for start in range(max(self._filled_to, end - self._keep * self.width_s), end, self.width_s):
                self.bucket(start)
            self._filled_to = max(end, self._filled_to)

    def take_due(self, horizon: int) -> Iterator[tuple[int, Bucket]]:
        """The buckets with news that end at or before a second, oldest first, and those that have to make room."""
        crowd = len(self._kept) - self._keep if self._only is None else 0
        for position, start in enumerate(sorted(self._kept)):
            bucket = self._kept[start]
            if position < crowd or start + self.width_s <= horizon:
                if bucket.has_news:
                    bucket.has_news = False
                    yield start, bucket
                if position < crowd:
                    del self._kept[start]
                    self._given_up = start


SLOW_SPAN_S: Final = 10
SLOWEST: Final = 10
_ERROR_STATUS: Final = 400
_EXCEPTION: Final = re.compile(r"([A-Za-z_][\w.]{0,79})\(")


class Failed(NamedTuple):
    """Failed samples of one second, name and error text: how many, and the status of the first one."""

    second: int
    name: int
    error: str
    n: int
    status: int


def error_kind(text: str, status: int) -> str:
    """The kind of an error, of which there are few: ``http_503``, the name of the exception, or ``other``."""
    if status >= _ERROR_STATUS:
        return f"http_{status}"
    found = _EXCEPTION.match(text)
    return found[1] if found else "other"


def failures(batch: Batch, ids: NDArray[np.int64]) -> Iterator[Failed]:
    """The failed samples, gathered by second, name and error text."""
    rows = np.flatnonzero(batch.columns.error != NO_ERROR)
    if not len(rows):
        return
    columns = batch.columns
    key = np.stack((columns.end_ns[rows] // NS_PER_S, ids[rows], columns.error[rows]))
    groups, first, counts = np.unique(key, axis=1, return_index=True, return_counts=True)
    statuses = columns.status[rows[first]].tolist()
    for second, name, error, n, status in zip(*groups.tolist(), counts.tolist(), statuses, strict=True):
        yield Failed(second, name, batch.errors[error], n, status)


def slowest(batch: Batch, ids: NDArray[np.int64]) -> Iterator[tuple[int, Slow]]:
    """The ten slowest samples of each ten seconds by response time, with the second in which these begin."""
    columns = batch.columns
    rt_us = response_us(columns.duration_us, columns.late_us) if columns.have_intents else columns.duration_us
    timed = np.flatnonzero(columns.duration_us >= 0)
    span = columns.end_ns[timed] // (SLOW_SPAN_S * NS_PER_S)
    for number in np.unique(span).tolist():
        rows = timed[span == number]
        if len(rows) > SLOWEST:
            rows = rows[np.argpartition(rt_us[rows], -SLOWEST)[-SLOWEST:]]
        for row in rows.tolist():
            yield number * SLOW_SPAN_S, _slow(batch, row, int(ids[row]), int(rt_us[row]))


def _slow(batch: Batch, row: int, name: int, rt_us: int) -> Slow:
    columns = batch.columns
    error = int(columns.error[row])
    text = None if error == NO_ERROR else batch.errors[error]
    return Slow(rt_us, int(columns.end_ns[row]), batch.worker, name, int(columns.status[row]), text)
