"""The load of a study, from its options."""

from __future__ import annotations

from typing import Any

import pytest

from loadstone.cli.study_load import load_range, rate_line, with_rate
from loadstone.settings import CapacitySettings, load


def settings(**options: Any) -> CapacitySettings:
    return load(CapacitySettings, {"find": "rate", "objective": ["p95<500ms"], **options}, environ={})


@pytest.mark.parametrize(
    ("options", "least", "most", "first"),
    [
        ({}, 1.0, 100_000.0, 50.0),
        ({"rate": ["30/m"]}, 0.5, 100_000.0, 0.5),
        ({"rate": ["200000/s"]}, 1.0, 200_000.0, 200_000.0),
        ({"at_most": "1800/h"}, 0.5, 0.5, 0.5),
        ({"at_least": "300/s"}, 300.0, 100_000.0, 300.0),
        ({"rate": ["1000/h"], "at_least": "1/h"}, 0.000278, 100_000.0, 0.277778),
    ],
)
def test_the_range_of_rates_is_wide_enough_for_what_is_given_of_it(
    options: dict[str, Any], least: float, most: float, first: float
):
    found = load_range(settings(**options))
    assert (found.least, found.most, found.begins.amount) == (least, most, first)


@pytest.mark.parametrize(
    ("per_s", "text"), [(0.000278, "0.000278/s"), (0.5, "0.5/s"), (1e6, "1000000/s"), (28.3, "28.3/s")]
)
def test_a_rate_is_sent_as_it_is_recorded(per_s: float, text: str):
    assert rate_line(per_s) == text
    (line,) = with_rate(settings(), per_s).rate
    assert line == text


@pytest.mark.parametrize(
    ("objectives", "users"),
    [
        pytest.param(["p95<500ms"], 200, id="two-seconds-are-enough"),
        pytest.param(["p95<3s", "max<60s"], 600, id="twice-the-tightest-limit"),
        pytest.param(["p95<30s"], 1_000, id="ten-seconds-at-most"),
        pytest.param(["failures<=1%"], 200, id="no-latency"),
    ],
)
def test_users_are_enough_for_an_objective_to_be_missed_before_arrivals_find_none(objectives: list[str], users: int):
    assert with_rate(settings(objective=objectives), 100.0).users == users
    assert with_rate(settings(objective=objectives, max_users="7"), 100.0).users == 7
