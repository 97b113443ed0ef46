"""Confidence intervals: block bootstrap over seconds for latencies, rates and shares, Wilson for shares.

Requests of the same moment resemble each other, and so do neighbouring seconds; resampling single requests would give
intervals that are too narrow. Whole blocks of consecutive seconds are resampled instead (circular block bootstrap:
Politis and Romano, 1992), and percentiles are taken from the merged histograms of each sample. Everything is seeded:
the same two runs always give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, isfinite, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.histogram import bucket_bounds
from loadstone.domain.quantile import nearest_rank, nearest_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadstone.domain.run_seconds import RunSeconds

__all__ = [
    "CONFIDENCE",
    "FEWEST_SECONDS",
    "Interval",
    "Resampled",
    "factor",
    "percentile_us",
    "relative",
    "share_difference",
    "share_interval",
    "wilson",
]

CONFIDENCE: Final = 0.99
"""The confidence level of every interval. A comparison looks at four latencies, a rate and a share; at 95 % each,
chance alone would mark one of them in far more than one comparison in twenty. `make bench` measures how often."""
FEWEST_SECONDS: Final = 5
"""With fewer seconds a block bootstrap has too few blocks to draw from."""
_DRAWS: Final = 1000
_SEED: Final = 20_261_101
_SHORTEST: Final = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high``, both inclusive."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


class Resampled:
    """A run resampled ``draws`` times; runs that are compared with each other need different ``stream`` numbers."""

    def __init__(self, seconds: RunSeconds, *, stream: int, draws: int = _DRAWS) -> None:
        self.seconds = seconds
        weights = _weights(len(seconds), np.random.default_rng((_SEED, stream)), draws)
        self._cumulative = np.cumsum(weights @ seconds.counts.astype(np.float64), axis=1)
        self._n, self._err, self._timed = weights @ seconds.n, weights @ seconds.err, weights @ seconds.timed
        self._rt_sum_us = weights @ seconds.rt_sum_us
        self._middles = _middles(seconds.buckets)

    def percentiles_us(self, percent: float) -> NDArray[np.float64]:
        """The percentile of each draw, shape (draws,); NaN for a draw without a request."""
        if not len(self._middles):
            return np.full(len(self._n), np.nan)
        total = self._cumulative[:, -1]
        ranks = nearest_ranks(percent, total.astype(np.int64))
        at = (self._cumulative < ranks[:, np.newaxis]).sum(axis=1)
        found: NDArray[np.float64] = self._middles[np.minimum(at, len(self._middles) - 1)]
        found[total == 0] = np.nan
        return found

    def means_us(self) -> NDArray[np.float64]:
        """The mean duration of each draw, shape (draws,); NaN for a draw without a response time."""
        means: NDArray[np.float64] = np.full(len(self._n), np.nan)
        np.divide(self._rt_sum_us, self._timed, out=means, where=self._timed > 0)
        return means

    def rates(self) -> NDArray[np.float64]:
        """Requests per second of each draw, shape (draws,)."""
        rates: NDArray[np.float64] = self._n / max(1, len(self.seconds))
        return rates

    def shares(self) -> NDArray[np.float64]:
        """The share of failed requests of each draw, shape (draws,); NaN for a draw without a request."""
        shares: NDArray[np.float64] = np.full(len(self._n), np.nan)
        np.divide(self._err, self._n, out=shares, where=self._n > 0)
        return shares


def percentile_us(seconds: RunSeconds, percent: float) -> float:
    """The percentile of all seconds together, by nearest rank: the middle of its bucket; NaN without a request."""
    cumulative = np.cumsum(seconds.counts.sum(axis=0))
    if not len(cumulative) or not cumulative[-1]:
        return float("nan")
    rank = nearest_rank(percent, int(cumulative[-1]))
    return float(_middles(seconds.buckets)[int(np.searchsorted(cumulative, rank))])


def relative(base: NDArray[np.float64], run: NDArray[np.float64], seconds: int) -> Interval | None:
    """The interval of ``run / base - 1``, in percent, from draws of both; None when no ratio is finite.

    ``seconds`` is the length of the shorter run. The fewer blocks it has, the wider the interval is made, as Student's
    distribution is wider than the normal one (Hesterberg, 2015, "narrowness bias").
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 100 * (run / base - 1)
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, middle, high = np.percentile(ratios, (tail, 50, 100 - tail))
    wider = _widening(seconds / _block_length(seconds))
    return Interval(float(middle - wider * (middle - low)), float(middle + wider * (high - middle)))


def factor(whole: float, draws: NDArray[np.float64], seconds: int) -> Interval | None:
    """The interval of a figure that is ``whole`` over all ``seconds``, as factors of it; None if nothing can be said.

    It is made of the logarithms of the draws, so that it stays above zero however far a percentile varies, and widened
    as in `relative`.
    """
    known = draws[np.isfinite(draws) & (draws > 0)]
    if not len(known) or not isfinite(whole) or whole <= 0:
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, middle, high = np.percentile(np.log(known / whole), (tail, 50, 100 - tail))
    wider = _widening(seconds / _block_length(seconds))
    return Interval(exp(middle - wider * (middle - low)), exp(middle + wider * (high - middle)))


def share_interval(draws: NDArray[np.float64], seconds: int) -> Interval:
    """The interval of a share from its draws, of which one at least had a request; widened as in `relative`."""
    tail = 50 * (1 - CONFIDENCE)
    low, middle, high = np.percentile(draws[np.isfinite(draws)], (tail, 50, 100 - tail))
    wider = _widening(seconds / _block_length(seconds))
    return Interval(max(0.0, float(middle - wider * (middle - low))), min(1.0, float(middle + wider * (high - middle))))


def wilson(failed: int, n: int) -> Interval:
    """The interval of the share ``failed / n`` (Wilson, 1927); from 0 to 1 without a request."""
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = failed / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def share_difference(base: tuple[int, int], run: tuple[int, int]) -> Interval:
    """The interval of the difference of two shares, from (failed, n) of each (Newcombe, 1998, method 10)."""
    shares = [failed / n if n else 0.0 for failed, n in (base, run)]
    one, two = wilson(*base), wilson(*run)
    difference = shares[1] - shares[0]
    low = difference - sqrt((shares[1] - two.low) ** 2 + (one.high - shares[0]) ** 2)
    high = difference + sqrt((two.high - shares[1]) ** 2 + (shares[0] - one.low) ** 2)
    return Interval(low, high)


def _weights(length: int, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
    """How often each draw contains each second, shape (draws, length)."""
    if not length:
        return np.zeros((draws, 0))
    block = _block_length(length)
    starts = rng.integers(0, length, (draws, ceil(length / block)))
    drawn = ((starts[:, :, np.newaxis] + np.arange(block)) % length).reshape(draws, -1)[:, :length]
    flat = drawn + length * np.arange(draws)[:, np.newaxis]
    return np.bincount(flat.ravel(), minlength=draws * length).reshape(draws, length).astype(np.float64)


def _widening(blocks: float) -> float:
    """The ratio of Student's interval for this many blocks to the normal one, by Fisher's expansion."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    free = max(1.0, blocks - 1)
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return student / z * sqrt(blocks / free)


def _block_length(length: int) -> int:
    """Seconds per block: about twice the cube root of the length, the best order for variances (Hall et al., 1995)."""
    return max(1, min(length // _SHORTEST, ceil(2 * float(np.cbrt(length)))))


def _middles(buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([sum(bucket_bounds(int(bucket))) / 2 for bucket in buckets])
