"""The search for the most load, users or a rate: what it answers was held, and it ends."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.capacity.evidence import Observation
from loadstone.capacity.levels import RATES, USERS, Levels
from loadstone.capacity.most import AskLevel, Most, MostAnswer
from support.searching import asked_and_answered

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


def conduct(
    search: Most, observe: Callable[[AskLevel], Observation], told: list[Observation] | None = None
) -> tuple[MostAnswer, list[AskLevel]]:
    """The answer, and all that was asked; what was ``told`` before is told again, and not observed."""
    return asked_and_answered(search.steps(), observe, told)


def holding(most: int) -> Callable[[AskLevel], Observation]:
    """A target whose latency grows with the third power of its users, and that holds so many."""
    return lambda ask: Observation(margin=3 * log(ask.level / (most + 0.5)), margin_se=0.001)


@pytest.mark.parametrize("most", [3, 40, 99, 323, 8_000])
def test_the_answer_is_near_the_most_that_hold_and_never_above(most: int):
    answer, asked = conduct(Most(), holding(most))
    assert answer.holds is not None
    assert answer.not_held is not None
    assert most * 0.85 - 1 <= answer.holds <= most
    assert most * 0.95 < answer.not_held <= answer.holds * 1.05 + 1
    assert (asked[-1].level, asked[-1].window_s) == (answer.holds, 120.0)
    assert len(asked) < 30


def test_a_target_that_holds_all_that_are_allowed():
    assert conduct(Most(most=500), holding(10_000))[0] == MostAnswer(holds=500, not_held=None)


def test_a_target_that_does_not_hold_the_fewest():
    assert conduct(Most(least=50), holding(10))[0] == MostAnswer(holds=None, not_held=50)


def test_a_target_that_breaks_does_not_hold_however_quick_it_was():
    def observe(ask: AskLevel) -> Observation:
        return Observation(margin=None if ask.level > 200 else -3.0, margin_se=0.01)

    answer, _ = conduct(Most(), observe)
    assert answer.holds is not None
    assert 190 <= answer.holds <= 200


def test_what_stays_undecided_does_not_count_as_held():
    answer, asked = conduct(Most(least=100, first=100, most=100), lambda _: Observation(margin=-0.01, margin_se=0.1))
    assert answer == MostAnswer(holds=None, not_held=100, undecided=True)
    assert [ask.window_s for ask in asked] == [15.0, 30.0, 30.0]


def test_an_answer_that_does_not_hold_for_longer_gives_way_to_a_lower_one():
    def observe(ask: AskLevel) -> Observation:
        holds = ask.level <= (300 if ask.window_s > 100 else 350)
        return Observation(margin=-0.5 if holds else 0.6, margin_se=0.01)

    answer, asked = conduct(Most(), observe)
    assert answer.holds is not None
    assert 280 <= answer.holds <= 300
    assert [ask for ask in asked if ask.window_s > 100 and ask.level > 300]


def test_short_trials_cannot_make_up_for_a_long_one_that_misses():
    def leaks(ask: AskLevel) -> Observation:
        return Observation(margin=0.3 if ask.window_s > 100 else -1.0, margin_se=0.02)

    answer, _ = conduct(Most(least=50, most=100), leaks)
    assert answer.holds is None


def test_once_a_level_holds_each_trial_of_another_names_those_that_would_prove_it():
    _, asked = conduct(Most(), holding(323))
    proofs = {users: (AskLevel(users, 120.0),) * 2 for users in (100, 200, 283)}
    assert [(ask.level, ask.then) for ask in asked[:5]] == [
        *((100, ()), (200, proofs[100]), (400, proofs[200]), (283, proofs[200]), (336, proofs[283])),
    ]
    assert (asked[-1].window_s, asked[-1].then) == (120.0, ())


@pytest.mark.parametrize("most", [0.02, 0.5, 3.3, 40, 323, 9_999, 80_000])
def test_the_answer_of_rates_is_near_the_most_that_hold_and_never_above(most: float):
    search = Most(least=0.01, most=100_000, first=50, levels=RATES)
    answer, asked = conduct(search, lambda ask: Observation(margin=3 * log(ask.level / most) or -0.1, margin_se=0.001))
    assert answer.holds is not None
    assert answer.not_held is not None
    assert 0.9 * most < answer.holds <= most
    assert 0.98 * most < answer.not_held <= 1.05 * answer.holds
    assert (asked[-1].level, asked[-1].window_s) == (answer.holds, 120.0)
    assert len(asked) < 40


def test_rates_that_are_tried_have_three_digits_but_for_the_ends_of_the_range():
    given_ = {1.2345, 7_654.321, 33.333}
    search = Most(least=1.2345, most=7_654.321, first=33.333, levels=RATES)
    for most in (0.5, 2, 500, 100_000):
        _, asked = conduct(search, holding(most))
        assert all(ask.level in given_ or ask.level == float(f"{ask.level:.3g}") for ask in asked)
        assert all(1.2345 <= ask.level <= 7_654.321 for ask in asked)


@settings(max_examples=300, deadline=None)
@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_the_next_rates_to_try_are_others(low: float, high: float):
    assert RATES.slightly_below(high) < high
    assert RATES.below(high) < high < RATES.above(high)
    between = RATES.between(*sorted((low, high)))
    assert between is None or min(low, high) < between < max(low, high)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([USERS, RATES]), st.integers(1, 5_000), st.floats(0.001, 0.3), st.randoms(use_true_random=False))
def test_with_any_noise_it_ends_answers_what_was_tried_and_resumes_to_the_same(
    levels: Levels, most: int, noise: float, order: random.Random
):
    seen: list[Observation] = []

    def observe(ask: AskLevel) -> Observation:
        margin = 3 * log(ask.level / most) + order.uniform(-2 * noise, 2 * noise)
        seen.append(Observation(margin=min(max(margin, -3.0), 3.0), margin_se=noise / 2))
        return seen[-1]

    answer, asked = conduct(Most(levels=levels), observe)
    tried = {ask.level for ask in asked}
    assert answer.holds is None or answer.holds in tried
    assert answer.not_held is None or answer.not_held in tried
    assert conduct(Most(levels=levels), observe, told=list(seen)) == (answer, asked)
