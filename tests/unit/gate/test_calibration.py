"""The comparison is calibrated: it rarely takes chance for a difference, and it finds a change of 10 %.

`make bench` does the same with 400 pairs of each kind.
"""

from __future__ import annotations

from loadstone.domain.bootstrap import Resampled
from loadstone.domain.run_seconds import ALL
from loadstone.gate.compare import METRICS, change_of
from support.run_pairs import pair


def flagged(seed: int, slower: float, **shape: int) -> set[str]:
    base, run = (
        Resampled(seconds, stream=at, draws=300) for at, seconds in enumerate(pair(seed, slower=slower, **shape))
    )
    return {metric for metric in METRICS if change_of(ALL, metric, base, run).differs}


def test_of_100_equal_pairs_at_most_one_in_twenty_is_flagged():
    wrong = [flags for seed in range(100) if (flags := flagged(seed, 1.0, seconds=60, rate=40))]
    assert len(wrong) <= 5


def test_of_40_pairs_with_a_p95_slower_by_a_tenth_nine_in_ten_are_found():
    found = sum("p95" in flagged(seed, 1.1, seconds=120, rate=80) for seed in range(1000, 1040))
    assert found >= 36


def test_the_same_two_runs_always_give_the_same_answer():
    base, run = pair(7)
    answers = {
        str(change_of(ALL, "p95", Resampled(base, stream=0), Resampled(run, stream=1)).interval) for _ in range(3)
    }
    assert len(answers) == 1
