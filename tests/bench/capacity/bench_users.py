"""The search for the most users on simulated targets: how near its answer comes to the truth, and how long it takes."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from loadstone.capacity.most import AskLevel, Most, MostAnswer

from .closed_loop import Laboratory, Loop

if TYPE_CHECKING:
    from collections.abc import Generator

    from loadstone.capacity.evidence import Observation

WORLDS = 40
FIRST = 7000


def answered(laboratory: Laboratory) -> MostAnswer:
    steps: Generator[AskLevel, Observation, MostAnswer] = Most().steps()
    try:
        ask = next(steps)
        while True:
            ask = steps.send(laboratory.observe(ask))
    except StopIteration as end:
        return end.value


def bench_users():
    shares, minutes, trials = [], [], []
    for seed in range(FIRST, FIRST + WORLDS):
        rng = np.random.default_rng(seed)
        loop = Loop.drawn(rng)
        truth = loop.most_users(rng)
        laboratory = Laboratory(loop, seed)
        answer = answered(laboratory)
        shares.append((answer.holds or 0) / truth)
        minutes.append(laboratory.seconds / 60)
        trials.append(laboratory.trials)
    over, far_below = np.mean(np.array(shares) > 1.03), np.mean(np.array(shares) < 0.9)
    print(f"\nfound / true: median {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")
    print(f"over by more than 3 %: {over:.0%}; below by more than 10 %: {far_below:.0%}")
    assert over <= 1 / WORLDS
    assert median(shares) >= 0.94
    assert median(minutes) <= 12
    print(f"trials {median(trials):.0f}, minutes {median(minutes):.0f} (p90 {np.quantile(minutes, 0.9):.0f})")
