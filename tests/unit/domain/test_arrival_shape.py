"""ArrivalShape: a rate that a function gives, as the stages that stand for it."""

from __future__ import annotations

import random
from math import inf, nan, pi, sin
from typing import TYPE_CHECKING, Any

import pytest

from loadstone import ArrivalShape
from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.domain.arrival_shape import LONGEST_S, MOST_STAGES, sampled
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def shape_of(rate: Callable[[float], Any]) -> ArrivalShape:
    class Shape(ArrivalShape):
        def rate(self, elapsed: float) -> float | None:
            found: float | None = rate(elapsed)
            return found

    return Shape()


def curve_of(rate: Callable[[float], Any], length_s: float | None = None) -> RateCurve:
    return RateCurve(parse_stages(sampled(shape_of(rate), length_s)))


def test_what_is_linear_in_pieces_becomes_exactly_these_stages():
    def rises_and_holds(at_s: float) -> float | None:
        return None if at_s >= 30 else min(20 + 8 * at_s, 100)

    assert sampled(shape_of(rises_and_holds)) == ("20/s..100/s over 10s", "100/s over 20s")


@pytest.mark.parametrize("at_s", [0.05, 3.0, 7.123456])
def test_a_step_is_a_step_at_its_moment(at_s: float):
    lines = sampled(shape_of(lambda now_s: 100 if now_s < at_s else 250), 10)
    parts_s = (f"{each:.6f}".rstrip("0").rstrip(".") for each in (at_s, 10 - at_s))
    assert lines == tuple(f"{rate}/s over {part}s" for rate, part in zip((100, 250), parts_s, strict=True))


def test_a_run_ends_where_the_function_gives_none():
    lines = sampled(shape_of(lambda now_s: None if now_s > 4.25 else 5.5), 10)
    assert lines == ("5.5/s over 4.250001s",)


def test_a_length_cuts_what_would_go_on():
    assert sampled(shape_of(lambda _: 7), 3600) == ("7/s over 3600s",)


def test_a_wave_is_followed_within_a_thousandth_of_its_peak():
    def wave(at_s: float) -> float:
        return 500 + 500 * sin(2 * pi * at_s / 60)

    lines = sampled(shape_of(wave), 300)
    curve = RateCurve(parse_stages(lines))
    off = max(abs(curve.rate(at / 37) - wave(at / 37)) for at in range(37 * 300))
    assert off < 2 * 0.001 * 1000, "on a sample, and as much again between two"
    assert curve.total(300) == pytest.approx(300 * 500, rel=1e-3)
    assert len(lines) < 300, "what is collinear is one stage"


def test_a_wave_between_two_samples_is_seen_as_well():
    curve = curve_of(lambda at_s: 100 + 100 * sin(2 * pi * at_s / 0.7), 5)
    assert curve.rate(0.175) == pytest.approx(200, abs=0.5)
    assert curve.rate(0.525) == pytest.approx(0, abs=0.5)


def test_a_long_wave_is_coarser_before_it_is_refused():
    def wave(at_s: float) -> float:
        return 500 + 500 * sin(2 * pi * at_s / 60)

    lines = sampled(shape_of(wave), 1800)
    assert len(lines) <= MOST_STAGES
    curve = RateCurve(parse_stages(lines))
    assert max(abs(curve.rate(at / 3) - wave(at / 3)) for at in range(3 * 1800)) < 0.02 * 1000


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (lambda at_s: 1 / abs(at_s - 5), "raises ZeroDivisionError: float division by zero at 5 s"),
        (lambda at_s: 5 - at_s, "gives -0.1 at 5.1 s"),
        (lambda _: nan, "gives nan at 0 s"),
        (lambda at_s: inf if at_s > 1 else 1, "gives inf at 1.1 s"),
        (lambda _: "500/s", "gives '500/s' at 0 s"),
        (lambda _: True, "gives True at 0 s"),
        (lambda _: 2e6, "gives 2000000.0 at 0 s"),
        (lambda _: None, "ends the run at its beginning"),
        (lambda _: 0, "lets nothing arrive"),
    ],
)
def test_what_is_no_rate_is_refused_with_cause_and_cure(rate: Callable[[float], Any], said: str):
    with pytest.raises(UsageError) as refused:
        sampled(shape_of(rate), 10)
    assert refused.value.message.startswith("the arrival shape Shape ")
    assert said in refused.value.message
    assert refused.value.hint


def test_a_shape_without_an_end_needs_a_run_time():
    with pytest.raises(UsageError, match="never ends") as refused:
        sampled(shape_of(lambda _: 5))
    assert "--run-time" in refused.value.hint


def test_a_run_may_be_a_day_long():
    assert sampled(shape_of(lambda _: 5), LONGEST_S) == ("5/s over 86400s",)
    with pytest.raises(UsageError, match="longer than 24 h"):
        sampled(shape_of(lambda _: 5), LONGEST_S + 1)


def test_a_rate_that_changes_without_a_pause_is_refused():
    noise = random.Random(3)
    with pytest.raises(UsageError, match="changes too often"):
        sampled(shape_of(lambda _: noise.uniform(0, 100)), 600)


def test_a_function_that_does_not_take_the_time_is_refused():
    class Bare(ArrivalShape):
        def rate(self) -> float:  # type: ignore[override]
            return 5.0

    with pytest.raises(UsageError, match="the arrival shape Bare raises TypeError"):
        sampled(Bare(), 10)
