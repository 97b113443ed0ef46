"""A simulated target for the search of users: a closed loop of users before a few servers, request by request.

Service times are log-normal with a coefficient of variation of one, think times exponential, and the work of a request
differs from run to run by 2 %. The truth is the 95th percentile of long runs without that difference.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loadstone.capacity.evidence import Observation

if TYPE_CHECKING:
    from collections.abc import Generator

    from loadstone.capacity.most import AskLevel

RAMP_S, SETTLE_S, OVERHEAD_S = 5.0, 10.0, 6.0
BLOCK_S = 5.0
QUANTILE = 0.95
DRAWS = 150
LONG_RUN_S = 1200.0
TRUE_TO = 1.01
RUN_SD = 0.02
Floats = NDArray[np.float64]


@dataclass
class Loop:
    """A target with so many servers; times in seconds."""

    servers: int
    work_s: float
    think_s: float
    limit_s: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Loop:
        """A target that holds between some dozens and a thousand users."""
        work_s = exp(rng.uniform(log(0.004), log(0.03)))
        return cls(
            servers=int(rng.integers(1, 7)),
            work_s=work_s,
            think_s=rng.uniform(0.5, 2.0),
            limit_s=work_s * rng.uniform(4, 12),
        )

    def latencies(self, users: int, window_s: float, rng: np.random.Generator, run_sd: float) -> tuple[Floats, Floats]:
        """End (s after the window opens) and duration (s) of the requests of a run that end in its window."""
        work = _Draws(rng, log(self.work_s * exp(rng.normal(0, run_sd))) - log(2) / 2)
        opens = RAMP_S + SETTLE_S
        arrivals = [RAMP_S * (user + 1) / users + rng.exponential(self.think_s) for user in range(users)]
        heapq.heapify(arrivals)
        free = [0.0] * self.servers
        ends, took = [], []
        while (at := arrivals[0]) < opens + window_s:
            end = max(at, heapq.heappop(free)) + work.next()
            heapq.heappush(free, end)
            if opens <= end < opens + window_s:
                ends.append(end - opens)
                took.append(end - at)
            heapq.heapreplace(arrivals, end + self.think_s * work.next_think())
        return np.array(ends), np.array(took)

    def most_users(self, rng: np.random.Generator) -> int:
        """The truth: the most users whose long runs hold."""
        low, high = 1, 2
        while self._holds(high, rng, LONG_RUN_S / 10):
            low, high = high, high * 2
        while high > max(low * TRUE_TO, low + 1):
            middle = round(sqrt(low * high))
            low, high = (middle, high) if self._holds(middle, rng, LONG_RUN_S) else (low, middle)
        return low

    def _holds(self, users: int, rng: np.random.Generator, window_s: float) -> bool:
        _, took = self.latencies(users, window_s, rng, run_sd=0.0)
        return bool(np.quantile(took, QUANTILE) <= self.limit_s)


class _Draws:
    """Random numbers in advance: one by one they would take most of the time."""

    def __init__(self, rng: np.random.Generator, log_work: float) -> None:
        self._work = self._endless(lambda: np.exp(log_work + sqrt(log(2)) * rng.standard_normal(4096)))
        self._think = self._endless(lambda: rng.standard_exponential(4096))
        self.next = self._work.__next__
        self.next_think = self._think.__next__

    @staticmethod
    def _endless(draw: object) -> Generator[float, None, None]:
        while True:
            yield from draw().tolist()  # type: ignore[operator]


class Laboratory:
    """Runs trials of one target."""

    def __init__(self, loop: Loop, seed: int) -> None:
        self.loop, self.rng = loop, np.random.default_rng(seed)
        self.trials, self.seconds = 0, 0.0

    def observe(self, ask: AskLevel) -> Observation:
        self.trials += 1
        self.seconds += RAMP_S + SETTLE_S + ask.window_s + OVERHEAD_S
        ends, took = self.loop.latencies(int(ask.level), ask.window_s, self.rng, RUN_SD)
        blocks = [took[(ends >= begin) & (ends < begin + BLOCK_S)] for begin in np.arange(0, ask.window_s, BLOCK_S)]
        chosen = self.rng.integers(0, len(blocks), (DRAWS, len(blocks)))
        draws = [np.quantile(np.concatenate([blocks[at] for at in row]), QUANTILE) for row in chosen]
        return Observation(
            margin=float(np.log(np.quantile(took, QUANTILE) / self.loop.limit_s)),
            margin_se=max(float(np.std(np.log(draws))), 0.02),
        )
