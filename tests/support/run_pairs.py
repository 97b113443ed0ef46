"""Seconds of synthetic runs: log-normal durations whose level wanders from second to second, as real ones do."""

from __future__ import annotations

import numpy as np

from loadstone.domain.histogram import bucket_indexes
from loadstone.domain.run_seconds import RunSeconds


def seconds_of(
    rng: np.random.Generator, *, seconds: int, rate: int, slower: float = 1.0, wander: float = 0.03
) -> RunSeconds:
    """A run: ``wander`` is the spread of the seconds' common level, correlated from one second to the next by half."""
    level = np.zeros(seconds)
    for second in range(1, seconds):
        level[second] = 0.5 * level[second - 1] + rng.normal(0, wander)
    n = rng.poisson(rate, seconds)
    at = np.repeat(np.arange(seconds), n)
    durations = np.exp(rng.normal(np.log(20_000), 0.5, len(at)) + level[at]) * slower
    micros = durations.astype(np.int64)
    buckets, place = np.unique(bucket_indexes(micros), return_inverse=True)
    counts = np.bincount(at * len(buckets) + place, minlength=seconds * len(buckets)).reshape(seconds, len(buckets))
    err = rng.binomial(n, 0.01)
    return RunSeconds(n, err, np.bincount(at, micros, seconds).astype(np.int64), buckets, counts)


def pair(seed: int, *, slower: float = 1.0, seconds: int = 120, rate: int = 100) -> tuple[RunSeconds, RunSeconds]:
    """Two runs of which the second is ``slower`` times as slow."""
    rng = np.random.default_rng(seed)
    return seconds_of(rng, seconds=seconds, rate=rate), seconds_of(rng, seconds=seconds, rate=rate, slower=slower)
