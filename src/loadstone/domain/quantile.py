"""Percentiles by nearest rank: the smallest value that at least ``percent`` of all values do not exceed."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["nearest_rank", "nearest_ranks", "percentile_of", "percentile_of_counts"]

T = TypeVar("T", int, float)


def nearest_rank(percent: float, n: int) -> int:
    """The rank, from 1, of a percentile (0 to 100) among ``n`` sorted values.

    A float's share of n is rounded to 6 digits first: 99.9 % of 1000 values are 999, not 999.0000000000001.
    """
    return max(1, ceil(round(percent / 100 * n, 6)))


def nearest_ranks(percent: float, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """`nearest_rank` for each number of values in an array of any shape."""
    return np.maximum(1, np.ceil(np.round(percent / 100 * n, 6))).astype(np.int64)


def percentile_of(values: Iterable[T], percent: float) -> T | None:
    """The percentile of some values, None when there is none."""
    ordered = sorted(values)
    return ordered[nearest_rank(percent, len(ordered)) - 1] if ordered else None


def percentile_of_counts(counts: Mapping[T, int], percent: float) -> T | None:
    """The percentile of values, given how often each occurs; None if there are none."""
    rank = nearest_rank(percent, sum(counts.values()))
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return None
