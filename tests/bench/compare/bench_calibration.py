"""How often the comparison of two runs is wrong: 400 equal pairs, and 400 whose second run is a tenth slower."""

from __future__ import annotations

from collections import Counter

from loadstone.domain.bootstrap import Resampled
from loadstone.domain.run_seconds import ALL
from loadstone.gate.compare import METRICS, change_of
from support.run_pairs import pair

TRIALS = 400


def flags(first_seed: int, slower: float) -> Counter[str]:
    """How many of the pairs are flagged, by metric and by any."""
    found: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + TRIALS):
        drawn = [Resampled(seconds, stream=at) for at, seconds in enumerate(pair(seed, slower=slower))]
        metrics = [metric for metric in METRICS if change_of(ALL, metric, drawn[0], drawn[1]).differs]
        found.update([*metrics, *(["any"] if metrics else [])])
    return found


def bench_compare_is_calibrated():
    equal, slower = flags(0, 1.0), flags(10_000, 1.1)
    print("\nflagged of 400 pairs (120 s, 100 requests/s)")
    for metric in (*METRICS, "any"):
        print(f"{metric:10} equal {equal[metric] / TRIALS:6.1%}   slower by a tenth {slower[metric] / TRIALS:6.1%}")
    assert equal["any"] <= 0.05 * TRIALS
    assert slower["p95"] >= 0.9 * TRIALS
