"""The search for the most users: what it answers was held, and it ends."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.capacity.evidence import Observation
from loadstone.capacity.users import AskUsers, MostUsers, UsersAnswer
from support.searching import asked_and_answered

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


def conduct(
    search: MostUsers, observe: Callable[[AskUsers], Observation], told: list[Observation] | None = None
) -> tuple[UsersAnswer, list[AskUsers]]:
    """The answer, and all that was asked; what was ``told`` before is told again, and not observed."""
    return asked_and_answered(search.steps(), observe, told)


def holding(most: int) -> Callable[[AskUsers], Observation]:
    """A target whose latency grows with the third power of its users, and that holds so many."""
    return lambda ask: Observation(margin=3 * log(ask.users / (most + 0.5)), margin_se=0.001)


@pytest.mark.parametrize("most", [3, 40, 99, 323, 8_000])
def test_the_answer_is_near_the_most_that_hold_and_never_above(most: int):
    answer, asked = conduct(MostUsers(), holding(most))
    assert answer.holds is not None
    assert answer.not_held is not None
    assert most * 0.85 - 1 <= answer.holds <= most
    assert most * 0.95 < answer.not_held <= answer.holds * 1.05 + 1
    assert (asked[-1].users, asked[-1].window_s) == (answer.holds, 120.0)
    assert len(asked) < 30


def test_a_target_that_holds_all_that_are_allowed():
    assert conduct(MostUsers(most=500), holding(10_000))[0] == UsersAnswer(holds=500, not_held=None)


def test_a_target_that_does_not_hold_the_fewest():
    assert conduct(MostUsers(fewest=50), holding(10))[0] == UsersAnswer(holds=None, not_held=50)


def test_a_target_that_breaks_does_not_hold_however_quick_it_was():
    def observe(ask: AskUsers) -> Observation:
        return Observation(margin=None if ask.users > 200 else -3.0, margin_se=0.01)

    answer, _ = conduct(MostUsers(), observe)
    assert answer.holds is not None
    assert 190 <= answer.holds <= 200


def test_what_stays_undecided_does_not_count_as_held():
    answer, asked = conduct(
        MostUsers(fewest=100, first=100, most=100), lambda _: Observation(margin=-0.01, margin_se=0.1)
    )
    assert answer == UsersAnswer(holds=None, not_held=100, undecided=True)
    assert [ask.window_s for ask in asked] == [15.0, 30.0, 30.0]


def test_an_answer_that_does_not_hold_for_longer_gives_way_to_a_lower_one():
    def observe(ask: AskUsers) -> Observation:
        holds = ask.users <= (300 if ask.window_s > 100 else 350)
        return Observation(margin=-0.5 if holds else 0.6, margin_se=0.01)

    answer, asked = conduct(MostUsers(), observe)
    assert answer.holds is not None
    assert 280 <= answer.holds <= 300
    assert [ask for ask in asked if ask.window_s > 100 and ask.users > 300]


def test_short_trials_cannot_make_up_for_a_long_one_that_misses():
    def leaks(ask: AskUsers) -> Observation:
        return Observation(margin=0.3 if ask.window_s > 100 else -1.0, margin_se=0.02)

    answer, _ = conduct(MostUsers(fewest=50, most=100), leaks)
    assert answer.holds is None


def test_once_a_level_holds_each_trial_of_another_names_those_that_would_prove_it():
    _, asked = conduct(MostUsers(), holding(323))
    proofs = {users: (AskUsers(users, 120.0),) * 2 for users in (100, 200, 283)}
    assert [(ask.users, ask.then) for ask in asked[:5]] == [
        *((100, ()), (200, proofs[100]), (400, proofs[200]), (283, proofs[200]), (336, proofs[283])),
    ]
    assert (asked[-1].window_s, asked[-1].then) == (120.0, ())


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5_000), st.floats(0.001, 0.3), st.randoms(use_true_random=False))
def test_with_any_noise_it_ends_answers_what_was_tried_and_resumes_to_the_same(
    most: int, noise: float, order: random.Random
):
    seen: list[Observation] = []

    def observe(ask: AskUsers) -> Observation:
        margin = 3 * log(ask.users / most) + order.uniform(-2 * noise, 2 * noise)
        seen.append(Observation(margin=min(max(margin, -3.0), 3.0), margin_se=noise / 2))
        return seen[-1]

    answer, asked = conduct(MostUsers(), observe)
    tried = {ask.users for ask in asked}
    assert answer.holds is None or answer.holds in tried
    assert answer.not_held is None or answer.not_held in tried
    assert conduct(MostUsers(), observe, told=list(seen)) == (answer, asked)
