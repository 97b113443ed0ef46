"""Log-linear histograms over integer microseconds: mergeable, sparse, at most 0.4 % off.

Each power of two is cut into 2^7 equal buckets, so a bucket is never wider than 1/128 of its lower bound, and its
middle is never further than 1/256 (0.39 %) from any value in it. Values below 256 us are exact. The layout is that of
HdrHistogram (Gil Tene, http://hdrhistogram.org) with 7 bits of precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.quantile import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["SUB_BUCKET_BITS", "DenseHistogram", "Histogram", "bucket_bounds", "bucket_indexes"]

SUB_BUCKET_BITS: Final = 7
_HALF: Final = 1 << SUB_BUCKET_BITS
_EXACT_BELOW: Final = _HALF << 1


def bucket_indexes(values_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each value (microseconds, negative values count as 0), shape (n,)."""
    values = np.maximum(values_us, 0)
    _, bits = np.frexp(values.astype(np.float64))  # exact: v < 2**53
    shift = np.maximum(bits.astype(np.int64) - (SUB_BUCKET_BITS + 1), 0)
    return (shift << SUB_BUCKET_BITS) + (values >> shift)


def bucket_bounds(index: int) -> tuple[int, int]:
    """The lowest and the highest value, in microseconds, that fall into a bucket."""
    if index < _EXACT_BELOW:
        return index, index
    shift = (index >> SUB_BUCKET_BITS) - 1
    low = (index - (shift << SUB_BUCKET_BITS)) << shift
    return low, low + (1 << shift) - 1


class Histogram:
    """Counts per bucket. Merging histograms equals recording all their values in one."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | Iterable[tuple[int, int]] = ()) -> None:
        self.counts: dict[int, int] = dict(counts)

    @classmethod
    def of(cls, values_us: NDArray[np.int64]) -> Histogram:
        """The histogram of values in microseconds."""
        indexes, counts = np.unique(bucket_indexes(values_us), return_counts=True)
        return cls(zip(indexes.tolist(), counts.tolist(), strict=True))

    @classmethod
    def of_one(cls, value_us: int, count: int) -> Histogram:
        """The histogram of one value in microseconds, recorded ``count`` times."""
        (index,) = bucket_indexes(np.array([value_us], np.int64)).tolist()
        return cls({index: count})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        """How many values were recorded."""
        return sum(self.counts.values())

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add ``(bucket, count)`` pairs."""
        mine = self.counts
        for index, count in counts:
            mine[index] = mine.get(index, 0) + count

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        self.add(other.counts.items())

    def percentiles_us(self, percents: Iterable[float]) -> list[float]:
        """The value, in microseconds, at each percentile (0-100), by nearest rank; 0 where nothing was recorded.

        The answer is the middle of the bucket that holds the value of rank ``ceil(p / 100 * n)``.
        """
        if not self.counts:
            return [0.0 for _ in percents]
        indexes = sorted(self.counts)
        positions = _positions(np.array([self.counts[index] for index in indexes], np.int64), percents)
        return [sum(bucket_bounds(indexes[position])) / 2 for position in positions]

    def percentile_us(self, percent: float) -> float:
        """The value, in microseconds, at one percentile (0-100)."""
        return self.percentiles_us((percent,))[0]


class DenseHistogram:
    """The same counts in an array of ``buckets`` elements, for sliding windows: values are added and subtracted."""

    __slots__ = ("counts",)

    def __init__(self, buckets: int) -> None:
        self.counts = np.zeros(buckets, np.int64)

    def add(self, histogram: Histogram) -> None:
        """Add the counts of a histogram."""
        indexes, counts = _pairs(histogram)
        self.counts[indexes] += counts

    def subtract(self, histogram: Histogram) -> None:
        """Subtract the counts of a histogram that was added before."""
        indexes, counts = _pairs(histogram)
        self.counts[indexes] -= counts

    def percentiles_us(self, percents: Iterable[float]) -> list[float]:
        """As `Histogram.percentiles_us`."""
        positions = _positions(self.counts, percents)
        return [sum(bucket_bounds(position)) / 2 for position in positions]


def _pairs(histogram: Histogram) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n = len(histogram.counts)
    return np.fromiter(histogram.counts.keys(), np.int64, n), np.fromiter(histogram.counts.values(), np.int64, n)


def _positions(counts: NDArray[np.int64], percents: Iterable[float]) -> list[int]:
    """Where in ``counts`` the value of each percentile lies; 0 for all where nothing was counted."""
    cumulative = counts.cumsum()
    n = int(cumulative[-1])
    if not n:
        return [0 for _ in percents]
    positions: list[int] = cumulative.searchsorted([nearest_rank(percent, n) for percent in percents]).tolist()
    return positions
