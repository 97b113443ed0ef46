"""Pacing that spreads users, with time passed in: no test here sleeps."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.lean import pacing


class User:
    """Something that can be weakly referenced, as a Locust user can."""


@pytest.fixture
def clock(monkeypatch: Any):
    """A clock that stands still until a test moves it: `clock.now`."""

    class Clock:
        now = 1000.0

        def __call__(self) -> float:
            return self.now

    made = Clock()
    monkeypatch.setattr(pacing, "perf_counter", made)
    return made


times = st.floats(0, 1e6)
periods = st.floats(0.001, 1e3)


@given(times, times, periods)
def test_the_next_start_is_not_past_and_at_most_a_period_away(latest: Any, late: Any, period: Any):
    now = latest + late
    following = pacing.next_start(latest, now, period)
    assert now <= following <= max(now, latest) + period * 1.001


@given(times, st.integers(0, 50), st.floats(0.01, 0.99), periods)
def test_starts_stay_on_the_grid_of_the_first_one(latest: Any, missed: Any, part: Any, period: Any):
    now = latest + (missed + part) * period
    following = pacing.next_start(latest, now, period)
    if following != now:
        assert abs((following - latest) / period - round((following - latest) / period)) < 1e-3


def test_users_that_begin_together_start_at_phases_spread_over_the_period(clock: Any):
    random.seed(1)
    wait_time = pacing.paced(10)
    users = [User() for _ in range(1000)]
    first = [wait_time(user) for user in users]
    counts = [sum(1 for wait in first if second <= wait < second + 1) for second in range(10)]
    assert sum(counts) == 1000
    assert all(60 <= count <= 140 for count in counts)


def test_a_user_keeps_its_period_whatever_its_tasks_take(clock: Any):
    wait_time, user = pacing.paced(10), User()
    clock.now += wait_time(user)
    start = clock.now
    for task_s in (0.5, 3.0, 9.9):
        clock.now += task_s
        clock.now += wait_time(user)
        assert clock.now - start == pytest.approx(10)
        start = clock.now


def test_a_task_longer_than_the_period_skips_starts_instead_of_bunching(clock: Any):
    wait_time, user = pacing.paced(10), User()
    clock.now += wait_time(user)
    clock.now += 35
    assert wait_time(user) == pytest.approx(5)


def test_throughput_is_the_inverse_of_the_period(clock: Any):
    wait_time, user = pacing.throughput(0.1), User()
    clock.now += wait_time(user)
    assert wait_time(user) == pytest.approx(10)


def test_a_random_start_comes_once_and_then_the_wait_time_given():
    random.seed(2)
    wait_time = pacing.random_start(lambda _user: 7.0, within_s=3)
    users = [User() for _ in range(100)]
    first = [wait_time(user) for user in users]
    assert min(first) >= 0
    assert max(first) <= 3
    assert len(set(first)) == 100
    assert {wait_time(user) for user in users} == {7.0}


def test_users_that_are_gone_are_forgotten():
    import gc

    wait_time = pacing.paced(1)
    for _ in range(10):
        wait_time(User())
    gc.collect()
    (starts,) = [cell.cell_contents for cell in wait_time.__closure__ if hasattr(cell.cell_contents, "keyrefs")]
    assert len(starts) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: pacing.paced(0),
        lambda: pacing.paced(float("nan")),
        lambda: pacing.throughput(-1),
        lambda: pacing.random_start(lambda _: 0.0, -1),
    ],
)
def test_values_that_make_no_sense_are_refused_with_what_is_allowed(make: Any):
    with pytest.raises(ValueError, match=r"needs .* got"):
        make()
