"""How many trials a study will take, and how long."""

from __future__ import annotations

import pytest

from loadstone.capacity.forecast import Forecast, forecast_most, forecast_setting
from loadstone.capacity.grid import Grid, Prices
from loadstone.capacity.most import Most
from loadstone.domain.units import MIB

PRICES = Prices(cpu_core=1, mem_gib=0.1)
SMALL = Grid(cpu_cores=(0.5, 1.0), mem_bytes=(512 * MIB,), replicas=(1,), prices=PRICES)
LARGE = Grid(
    cpu_cores=tuple(0.25 * step for step in range(1, 17)),
    mem_bytes=tuple(256 * MIB * step for step in range(1, 9)),
    replicas=(1, 2, 3, 4),
    prices=PRICES,
)


def test_a_large_grid_takes_more_trials_than_a_small_one_and_far_fewer_than_it_has_settings():
    small, large = forecast_setting(SMALL, 60, 30), forecast_setting(LARGE, 60, 30)
    assert small.trials[0] <= small.trials[1] <= small.trials[2]
    assert small.trials[1] < large.trials[1]
    assert large.trials[2] < 16 * 8 * 4 / 10


def test_time_is_that_of_the_windows_and_of_what_each_trial_takes_beside_them():
    bare, whole = forecast_setting(LARGE, 60, 0), forecast_setting(LARGE, 60, 30)
    assert whole.seconds[0] >= bare.seconds[0] + 30 * whole.trials[0]
    assert bare.seconds[0] >= 60 * bare.trials[0]


def test_the_search_for_users_is_forecast_with_its_own_levels():
    found = forecast_most(lambda: Most(first=50), 30)
    one = forecast_most(lambda: Most(least=40, most=40, first=40), 30)
    assert 5 < found.trials[1] < 20
    assert one.trials[2] < found.trials[0]


EXPECTED = Forecast(trials=(9, 10.5, 16), seconds=(540.0, 660.0, 960.0))


@pytest.mark.parametrize(
    ("made", "spent_s", "text"),
    [
        pytest.param(0, 0, "left: about 11 trials and 11 min, at most 16 trials and 16 min", id="at-the-beginning"),
        pytest.param(10, 630, "left: about 1 trial and 30 s, at most 6 trials and 6 min", id="near-the-usual-end"),
        pytest.param(11, 660, "left: at most 5 trials and 5 min", id="longer-than-usual"),
        pytest.param(16, 900, "", id="more-trials-than-expected"),
        pytest.param(12, 960, "", id="more-time-than-expected"),
    ],
)
def test_what_is_left_is_told_as_long_as_it_is_known(made: int, spent_s: float, text: str):
    assert EXPECTED.left_text(made, spent_s) == text


def test_no_more_is_left_than_is_allowed():
    assert (
        EXPECTED.within(12, 600.0).left_text(0, 0) == "left: about 11 trials and 10 min, at most 12 trials and 10 min"
    )
    assert EXPECTED.within(None, None) == EXPECTED
