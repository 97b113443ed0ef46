"""Rollup: one second of one request name as counts, sums and a mergeable histogram.

A sample belongs to the second in which it **ended** (``end_ns // 10**9``). Rollups of different workers, seconds and
names may be merged in any order; the result equals the rollup of all their samples. Means and percentiles are always
derived from a merged rollup, never averaged.

Under the open model a sample has two durations: its *service time*, from sent to answered, and its *response time*,
which begins at the intended start. Where no sample was late, both are the same, and there is one set of figures.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.domain.histogram import Histogram, bucket_indexes
from loadstone.domain.limits import MAX_DURATION_US

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["BUCKETS", "MAX_DURATION_US", "Rollup", "merged", "response_us", "roll_up"]


BUCKETS: Final = 4096
"""How many histogram buckets durations up to `MAX_DURATION_US` can fall into."""

_EXACT: Final = 2.0**53


class Rollup:
    """Counts, sums and histogram of some samples.

    ``n`` samples, ``err`` of them failed and ``untimed`` of them without a duration; ``rt_sum_us``, ``rt_min_us``,
    ``rt_max_us`` of the response times in microseconds (0 without any); ``bytes`` received; ``histogram`` of the
    response times. ``service``: the same samples by their service times; None where these equal the response times, as
    always under the closed model.
    """

    __slots__ = ("bytes", "err", "histogram", "n", "rt_max_us", "rt_min_us", "rt_sum_us", "service", "untimed")

    def __init__(
        self,
        n: int = 0,
        err: int = 0,
        rt_sum_us: int = 0,
        rt_min_us: int = 0,
        rt_max_us: int = 0,
        bytes: int = 0,  # noqa: A002 (the glossary's word)
        histogram: Histogram | None = None,
        untimed: int = 0,
        service: Rollup | None = None,
    ) -> None:
        self.n = n
        self.err = err
        self.rt_sum_us = rt_sum_us
        self.rt_min_us = rt_min_us
        self.rt_max_us = rt_max_us
        self.bytes = bytes
        self.histogram = Histogram() if histogram is None else histogram
        self.untimed = untimed
        self.service = service

    @classmethod
    def of_one(cls, duration_us: int, count: int, *, failed: int) -> Rollup:
        """``count`` samples of one duration, ``failed`` of which failed."""
        histogram = Histogram.of_one(duration_us, count)
        return cls(count, failed, count * duration_us, duration_us, duration_us, 0, histogram)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rollup) and all(getattr(self, s) == getattr(other, s) for s in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rollup(n={self.n}, err={self.err}, rt_sum_us={self.rt_sum_us}, bytes={self.bytes})"

    @property
    def by_service(self) -> Rollup:
        """The same samples by their service times: this rollup itself where these equal the response times."""
        return self if self.service is None else self.service

    @property
    def timed(self) -> int:
        """How many samples have a duration."""
        return self.n - self.untimed

    @property
    def mean_us(self) -> float:
        """Mean duration in microseconds; 0 without any."""
        return self.rt_sum_us / self.timed if self.timed else 0.0

    @property
    def err_ratio(self) -> float:
        """Share of failed samples, 0 to 1; 0 without a sample."""
        return self.err / self.n if self.n else 0.0

    def percentiles_us(self, percents: Iterable[float]) -> list[float]:
        """Duration in microseconds at each percentile (0-100): the histogram's, kept inside the exact extremes."""
        low, high = self.rt_min_us, self.rt_max_us
        return [min(max(value, low), high) for value in self.histogram.percentiles_us(percents)]

    def percentile_us(self, percent: float) -> float:
        """Duration in microseconds at one percentile (0-100)."""
        return self.percentiles_us((percent,))[0]

    def merge(self, other: Rollup) -> None:
        """Add the samples of another rollup."""
        if not other.n:
            return
        if self.service is not None or other.service is not None:
            self._merge_service(other.by_service)
        if other.timed:
            self.rt_min_us = min(self.rt_min_us, other.rt_min_us) if self.timed else other.rt_min_us
            self.rt_max_us = max(self.rt_max_us, other.rt_max_us)
        self.n += other.n
        self.untimed += other.untimed
        self.err += other.err
        self.rt_sum_us += other.rt_sum_us
        self.bytes += other.bytes
        self.histogram.merge(other.histogram)

    def _merge_service(self, other: Rollup) -> None:
        """Add samples by their service times; up to now those of this rollup may have been its response times."""
        if self.service is None:
            self.service = merged((self,))
        self.service.merge(other)


def merged(rollups: Iterable[Rollup]) -> Rollup:
    """A new rollup of all the given ones."""
    total = Rollup()
    for rollup in rollups:
        total.merge(rollup)
    return total


class _Groups(NamedTuple):
    """Samples sorted by group, then duration; every array after ``starts`` has one element per group."""

    duration_us: NDArray[np.int64]
    starts: NDArray[np.int64]
    seconds: NDArray[np.int64]
    names: NDArray[np.int64]
    err: NDArray[np.int64]
    bytes: NDArray[np.int64]


def response_us(duration_us: NDArray[np.int64], late_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The response time of each sample, shape (n,): its service time and how late its iteration began, microseconds.

    A negative ``late_us`` adds nothing; a negative ``duration_us`` stays, because the sample has no duration.
    """
    together = np.minimum(np.minimum(duration_us, MAX_DURATION_US) + np.maximum(late_us, 0), MAX_DURATION_US)
    return np.where(duration_us < 0, duration_us, together)


def roll_up(
    seconds: NDArray[np.int64],
    names: NDArray[np.int64],
    duration_us: NDArray[np.int64],
    size_bytes: NDArray[np.int64],
    failed: NDArray[np.bool_],
    late_us: NDArray[np.int64] | None = None,
) -> dict[tuple[int, int], Rollup]:
    """The rollup of each ``(second, name id)`` that occurs, in ascending order of that key.

    All arrays have shape (n,), n up to four million: second of the end since 1970, id of the request name (>= 0),
    service time in microseconds (at most `MAX_DURATION_US` of it count; negative without one), response bytes, whether
    the request failed, and how late its iteration began in microseconds (nothing is added where that is negative).
    """
    # A sample that began exactly on time has one duration, so `> 0` loses nothing, and only lateness costs time.
    if late_us is None or not len(seconds) or int(late_us.max()) <= 0:
        return _roll_up(seconds, names, duration_us, size_bytes, failed)
    by_service = _roll_up(seconds, names, duration_us, size_bytes, failed)
    rollups = _roll_up(seconds, names, response_us(duration_us, late_us), size_bytes, failed)
    for key, rollup in rollups.items():
        # No response time is shorter than its service time, so equal sums mean that all of them are equal.
        if rollup.rt_sum_us != by_service[key].rt_sum_us:
            rollup.service = by_service[key]
    return rollups


def _roll_up(
    seconds: NDArray[np.int64],
    names: NDArray[np.int64],
    duration_us: NDArray[np.int64],
    size_bytes: NDArray[np.int64],
    failed: NDArray[np.bool_],
) -> dict[tuple[int, int], Rollup]:
    """As `roll_up`, by one duration."""
    if not len(seconds):
        return {}
    if int(duration_us.min()) < 0:
        return _roll_up_untimed(seconds, names, duration_us, size_bytes, failed)
    return _rollups(_group(seconds, names, np.minimum(duration_us, MAX_DURATION_US), size_bytes, failed))


def _roll_up_untimed(
    seconds: NDArray[np.int64],
    names: NDArray[np.int64],
    duration_us: NDArray[np.int64],
    size_bytes: NDArray[np.int64],
    failed: NDArray[np.bool_],
) -> dict[tuple[int, int], Rollup]:
    """As `_roll_up`, where some samples have no duration: those are rolled up by themselves."""
    timed = duration_us >= 0
    total = {key: Rollup() for key in sorted(set(zip(seconds.tolist(), names.tolist(), strict=True)))}
    for rows in (timed, ~timed):
        part = _roll_up(seconds[rows], names[rows], np.maximum(duration_us[rows], 0), size_bytes[rows], failed[rows])
        for key, rollup in part.items():
            total[key].merge(rollup if rows is timed else _without_durations(rollup))
    return total


def _without_durations(rollup: Rollup) -> Rollup:
    return Rollup(rollup.n, rollup.err, bytes=rollup.bytes, untimed=rollup.n)


def _group(
    seconds: NDArray[np.int64],
    names: NDArray[np.int64],
    duration_us: NDArray[np.int64],
    size_bytes: NDArray[np.int64],
    failed: NDArray[np.bool_],
) -> _Groups:
    first, n_names = int(seconds.min()), int(names.max()) + 1
    dense, unpacked = _dense((seconds - first) * n_names + names)
    # One sort of group and duration in a single integer puts minimum, maximum and buckets of a group in order.
    bits = int(duration_us.max()).bit_length()
    packed = np.sort((dense << bits) | duration_us)
    group = packed >> bits
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    present = group[starts]
    keys = present if unpacked is None else unpacked[present]
    return _Groups(
        duration_us=packed & ((1 << bits) - 1),
        starts=starts,
        seconds=first + keys // n_names,
        names=keys % n_names,
        err=np.bincount(dense[failed], minlength=int(present[-1]) + 1)[present],
        bytes=_sums(dense, size_bytes)[present],
    )


def _dense(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Group numbers small enough to count by, and what they stand for (None: for themselves)."""
    if int(keys.max()) < max(4096, 4 * len(keys)):
        return keys, None
    unpacked, dense = np.unique(keys, return_inverse=True)
    return dense, unpacked


def _sums(dense: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    # float64 holds every integer below 2**53; a group of one block stays far below (9 petabytes), unless a user class
    # reports nonsense, which counts as that much.
    return np.clip(np.bincount(dense, weights=values), -_EXACT, _EXACT).astype(np.int64)


def _rollups(groups: _Groups) -> dict[tuple[int, int], Rollup]:
    starts, durations = groups.starts, groups.duration_us
    ends = np.append(starts[1:], len(durations))
    histograms = _histograms(durations, starts)
    rows = zip(
        groups.seconds.tolist(),
        groups.names.tolist(),
        (ends - starts).tolist(),
        groups.err.tolist(),
        np.add.reduceat(durations, starts).tolist(),
        durations[starts].tolist(),
        durations[ends - 1].tolist(),
        groups.bytes.tolist(),
        histograms,
        strict=True,
    )
    return {(second, name): Rollup(*row) for second, name, *row in rows}


def _histograms(durations: NDArray[np.int64], starts: NDArray[np.int64]) -> list[Histogram]:
    """One histogram per group; durations ascend within a group, so equal buckets are neighbours."""
    buckets = bucket_indexes(durations)
    is_start = np.empty(len(buckets), np.bool_)
    is_start[0] = True
    np.not_equal(buckets[1:], buckets[:-1], out=is_start[1:])
    is_start[starts] = True
    runs = np.flatnonzero(is_start)
    counts = np.diff(runs, append=len(buckets)).tolist()
    values = buckets[runs].tolist()
    cuts = [*np.searchsorted(runs, starts).tolist(), len(values)]
    return [Histogram(zip(values[low:high], counts[low:high], strict=True)) for low, high in pairwise(cuts)]
