"""The rate of arrivals: stages as people write them, and the curve that they make."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.arrival_rate import RateCurve, Stage, parse_stage, parse_stages
from loadstone.errors import SettingsError, UsageError

rates = st.floats(0, 10_000).map(lambda rate: round(rate, 3))
stages = st.lists(st.builds(Stage, rates, rates, st.floats(0.1, 600)), min_size=1, max_size=5).filter(
    lambda found: any(each.first or each.last for each in found)
)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("500/s", Stage(500, 500)),
        (" 0.5 / s ", Stage(0.5, 0.5)),
        ("30000/m", Stage(500, 500)),
        ("30000/min", Stage(500, 500)),
        ("3600/h over 2h", Stage(1, 1, 7200)),
        ("100/s..1000/s over 5m", Stage(100, 1000, 300)),
        ("1000/s .. 6000/m over 1m30s", Stage(1000, 100, 90)),
        ("0/s..10/s over 10", Stage(0, 10, 10)),
    ],
)
def test_a_stage_is_one_rate_or_two_and_a_time(text: str, stage: Stage):
    assert parse_stage(text) == stage


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("500", "rate '500' is not NUMBER/s, /m or /h, or two of them with .. between"),
        ("-5/s", "is not NUMBER/s"),
        ("5/d", "is not NUMBER/s"),
        ("", "is not NUMBER/s"),
        ("5/s over", "is not NUMBER/s"),
        ("5/s...6/s over 1m", "is not NUMBER/s"),
        ("100/s..200/s", "does not say in which time it changes"),
        ("100/s over soon", "'soon' is not a duration such as 90s"),
        ("100/s over 0s", "'0s' is not a duration above zero"),
        ("2000000/s", "is more than 1,000,000/s"),
    ],
)
def test_what_is_no_stage_is_refused_with_its_text(text: str, said: str):
    with pytest.raises(UsageError) as refused:
        parse_stage(text)
    assert said in refused.value.message
    assert refused.value.hint


def test_only_the_last_stage_may_go_without_a_duration():
    assert len(parse_stages(["0/s..5/s over 10s", "5/s"])) == 2
    with pytest.raises(SettingsError, match="rate 5/s has no duration, so no stage can follow it"):
        parse_stages(["5/s", "5/s..9/s over 1m"])


def test_a_rate_at_which_nothing_ever_arrives_is_refused():
    with pytest.raises(SettingsError, match="lets nothing arrive"):
        parse_stages(["0/s over 10s", "0/s"])


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        parse_stages(["fast", "5/s", "slow"])
    assert [problem.split(" is ")[0] for problem in refused.value.problems] == ["rate 'fast'", "rate 'slow'"]


def test_a_curve_rises_holds_and_falls():
    curve = RateCurve(parse_stages(["0/s..100/s over 10s", "100/s over 5s", "100/s..10/s over 10s"]))
    assert [curve.rate(each) for each in (0, 5, 12, 20, 25, 1000)] == [0, 50, 100, 55, 10, 10]
    assert [curve.total(each) for each in (-1, 0, 5, 10, 15, 25, 26)] == [0, 0, 125, 500, 1000, 1550, 1560]
    assert (curve.ends_s, curve.peak) == (25, 100)


def test_a_rate_without_an_end_never_ends():
    curve = RateCurve([Stage(500, 500)])
    assert (curve.ends_s, curve.total(3600), curve.when(500 * 3600)) == (inf, 1_800_000, 3600)


def test_where_the_rate_has_come_to_nothing_nothing_arrives_any_more():
    curve = RateCurve(parse_stages(["10/s..0/s over 10s"]))
    assert curve.when(50) == pytest.approx(10)
    assert curve.when(50.1) == inf


def test_after_a_pause_arrivals_go_on():
    curve = RateCurve(parse_stages(["10/s over 1s", "0/s over 5s", "10/s"]))
    assert (curve.when(10), curve.when(11)) == (1, pytest.approx(6.1))


@given(stages, st.floats(0, 1))
def test_when_is_the_inverse_of_total(found: list[Stage], share: float):
    curve = RateCurve(found)
    until_s = share * sum(each.over_s for each in found)
    total = curve.total(until_s)
    when_s = curve.when(total)
    assert when_s <= until_s + 1e-6
    assert curve.total(when_s) == pytest.approx(total, rel=1e-6, abs=1e-6)


@given(stages)
def test_totals_and_times_never_fall(found: list[Stage]):
    curve = RateCurve(found)
    end_s = sum(each.over_s for each in found)
    totals = [curve.total(end_s * at / 50) for at in range(52)]
    assert totals == sorted(totals)
    times = [curve.when(totals[-1] * at / 50) for at in range(51)]
    assert times == sorted(times)


@given(stages)
def test_a_stage_is_written_as_it_is_read(found: list[Stage]):
    for stage in found:
        again = parse_stage(str(stage))
        assert (again.first, again.last) == pytest.approx((stage.first, stage.last), rel=1e-4)
