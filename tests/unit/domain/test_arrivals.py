"""Arrivals: each worker's share of the schedule, which anybody can compute again."""

from __future__ import annotations

from itertools import pairwise, takewhile
from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.arrival_rate import Stage, parse_stages
from loadstone.domain.arrivals import Epoch, Schedule, Spread

CURVE = parse_stages(["0/s..200/s over 5s", "200/s over 5s", "200/s..20/s over 5s"])


def due(schedule: Schedule, epoch: Epoch, place: int, until_s: float) -> list[float]:
    return list(takewhile(lambda each: each < until_s, schedule.arrivals(epoch, place)))


def of_all(schedule: Schedule, epoch: Epoch, until_s: float) -> list[float]:
    return sorted(each for place in range(epoch.workers) for each in due(schedule, epoch, place, until_s))


def distance(gaps: list[float], mean: float) -> float:
    """Of Kolmogorov and Smirnov: from the exponential distribution with this mean, times the root of how many."""
    n, known = len(gaps), [1 - exp(-gap / mean) for gap in sorted(gaps)]
    most = max(max((at + 1) / n - each, each - at / n) for at, each in enumerate(known))
    return most * sqrt(n)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_constant_arrivals_of_all_workers_are_evenly_spaced(workers: int):
    schedule = Schedule([Stage(100, 100)], Spread.CONSTANT, 1)
    found = of_all(schedule, Epoch(0, 0.0, workers), 10)
    assert found == pytest.approx([at / 100 for at in range(1000)])


@pytest.mark.parametrize("spread", list(Spread))
@pytest.mark.parametrize("workers", [1, 3])
def test_there_are_as_many_arrivals_as_the_rate_comes_to(spread: Spread, workers: int):
    schedule = Schedule(CURVE, spread, 7)
    total = schedule.curve.total(15)
    found = of_all(schedule, Epoch(0, 0.0, workers), 15)
    assert len(found) == pytest.approx(total, abs=1 if spread is Spread.CONSTANT else 3 * sqrt(total))


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("seed", range(5))
def test_gaps_of_poisson_arrivals_are_exponential_for_each_worker_and_for_all(workers: int, seed: int):
    schedule, epoch = Schedule([Stage(1000, 1000)], Spread.POISSON, seed), Epoch(0, 0.0, workers)
    together = of_all(schedule, epoch, 20)
    alone = due(schedule, epoch, workers - 1, 20)
    for found, mean in ((together, 0.001), (alone, 0.001 * workers)):
        gaps = [after - before for before, after in zip([0.0, *found[:-1]], found, strict=True)]
        assert distance(gaps, mean) < 1.95, "it is more in one of 1,000 cases"


def test_the_test_of_gaps_finds_gaps_that_are_not_exponential():
    even = of_all(Schedule([Stage(1000, 1000)], Spread.CONSTANT, 1), Epoch(0, 0.0, 2), 20)
    assert distance([after - before for before, after in pairwise(even)], 0.001) > 10


def test_poisson_arrivals_follow_a_rate_that_changes():
    schedule = Schedule(CURVE, Spread.POISSON, 3)
    totals = list(map(schedule.curve.total, of_all(schedule, Epoch(0, 0.0, 2), 15)))
    gaps = [after - before for before, after in zip([0.0, *totals[:-1]], totals, strict=True)]
    assert distance(gaps, 1.0) < 1.95


def test_arrivals_are_a_function_of_seed_epoch_and_place_alone():
    epoch = Epoch(2, 1.5, 3)
    first, again = (due(Schedule(CURVE, Spread.POISSON, 11), epoch, 1, 10) for _ in range(2))
    assert first == again
    others = [
        due(Schedule(CURVE, Spread.POISSON, 12), epoch, 1, 10),
        due(Schedule(CURVE, Spread.POISSON, 11), epoch._replace(number=3), 1, 10),
        due(Schedule(CURVE, Spread.POISSON, 11), epoch, 2, 10),
    ]
    assert first not in others


@given(st.floats(0, 14), st.integers(1, 5), st.integers(1, 5), st.lists(st.floats(0, 15), max_size=3))
def test_constant_arrivals_have_one_owner_whenever_workers_change(
    begins_s: float, before: int, after: int, more: list[float]
):
    schedule = Schedule(CURVE, Spread.CONSTANT, 1)
    cuts = sorted({0.0, begins_s, *more})
    found = []
    for number, (begin_s, end_s) in enumerate(zip(cuts, [*cuts[1:], 15.0], strict=True)):
        epoch = Epoch(number, begin_s, before if number % 2 else after)
        found += of_all(schedule, epoch, end_s)
    assert sorted(found) == of_all(schedule, Epoch(0, 0.0, 1), 15)


@given(st.floats(0, 14), st.integers(1, 5))
def test_no_arrival_of_an_epoch_is_due_before_it_begins(begins_s: float, workers: int):
    for spread in Spread:
        found = of_all(Schedule(CURVE, spread, 1), Epoch(4, begins_s, workers), 15)
        assert all(each >= begins_s for each in found)


def test_arrivals_end_where_the_rate_comes_to_nothing():
    schedule = Schedule(parse_stages(["10/s..0/s over 10s"]), Spread.CONSTANT, 1)
    assert len(list(schedule.arrivals(Epoch(0, 0.0, 1), 0))) == 51
