"""The search for the most users: what it answers was held, and it ends."""

from __future__ import annotations

from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.capacity.users import Level, Measured, MostUsers, UsersAnswer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


def conduct(search: MostUsers, measure: Callable[[Level], Measured]) -> tuple[UsersAnswer, list[Level]]:
    steps, asked = search.steps(), []
    try:
        level = next(steps)
        while True:
            asked.append(level)
            assert len(asked) < 500
            level = steps.send(measure(level))
    except StopIteration as end:
        return end.value, asked


def holding(most: int) -> Callable[[Level], Measured]:
    """A target whose latency grows with the third power of its users, and that holds so many."""
    return lambda level: Measured(margin=3 * log(level.users / (most + 0.5)), margin_se=0.001)


@pytest.mark.parametrize("most", [3, 40, 99, 323, 8_000])
def test_the_answer_is_near_the_most_that_hold_and_never_above(most: int):
    answer, asked = conduct(MostUsers(), holding(most))
    assert answer.holds is not None
    assert answer.not_held is not None
    assert most * 0.9 - 1 <= answer.holds <= most
    assert most * 0.98 < answer.not_held <= answer.holds * 1.05 + 1
    assert asked[-1].users == answer.holds
    assert sum(level.fresh for level in asked) < 25


def test_a_target_that_holds_all_that_are_allowed():
    assert conduct(MostUsers(most=500), holding(10_000))[0] == UsersAnswer(holds=500, not_held=None)


def test_a_target_that_does_not_hold_the_fewest():
    assert conduct(MostUsers(fewest=50), holding(10))[0] == UsersAnswer(holds=None, not_held=50)


def test_a_target_that_breaks_does_not_hold_however_quick_it_was():
    def measure(level: Level) -> Measured:
        return Measured(margin=-3, margin_se=0.01, broke=level.users > 200)

    answer, _ = conduct(MostUsers(), measure)
    assert answer.holds is not None
    assert 190 <= answer.holds <= 200


def test_what_is_undecided_is_measured_longer_and_does_not_count_as_held():
    answer, asked = conduct(MostUsers(first=100, most=100), lambda _: Measured(margin=-0.01, margin_se=0.1))
    assert answer.holds is None
    assert [(level.measure_s, level.fresh) for level in asked[:4]] == [
        (30.0, True),
        (30.0, False),
        (30.0, False),
        (30.0, False),
    ]


def test_the_answer_was_held_for_two_minutes():
    _, asked = conduct(MostUsers(), holding(323))
    assert asked[-1].measure_s == 120.0


def test_after_users_were_taken_away_it_settles_for_longer():
    _, asked = conduct(MostUsers(), holding(323))
    fresh = [level for level in asked if level.fresh]
    for before, level in pairwise(fresh):
        assert level.settle_s == (25.0 if level.users < before.users else 15.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5_000), st.floats(0, 0.3), st.randoms(use_true_random=False))
def test_with_any_noise_it_ends_and_answers_a_level_that_was_tried(most: int, noise: float, order: random.Random):
    def measure(level: Level) -> Measured:
        return Measured(margin=3 * log(level.users / most) + order.gauss(0, noise), margin_se=noise / 2)

    answer, asked = conduct(MostUsers(), measure)
    tried = {level.users for level in asked}
    assert answer.holds is None or answer.holds in tried
    assert answer.not_held is None or answer.not_held in tried
