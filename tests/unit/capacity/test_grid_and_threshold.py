"""Grid: steps and prices. Threshold: where on an axis a target begins to hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.capacity.grid import Grid, Point, Prices
from loadstone.capacity.threshold import Threshold
from loadstone.errors import UsageError
from loadstone.rig.rig import Setting

GIB = 1024**3
PRICES = Prices(cpu_core=2, mem_gib=0.5, replica=0.1)
GRID = Grid(cpu_cores=(0.5, 1.0, 1.5), mem_bytes=(GIB, 2 * GIB), replicas=(1, 3), prices=PRICES)


def test_a_point_stands_for_limits_and_a_price():
    point = Point(1, 1, 1)
    assert GRID.setting(point) == Setting(1.0, 2 * GIB, 3)
    assert GRID.cost(point) == pytest.approx(3 * (2 * 1.0 + 0.5 * 2 + 0.1))


def test_the_extremes_are_the_smallest_and_the_largest_setting():
    assert GRID.extremes() == (Setting(0.5, GIB, 1), Setting(1.5, 2 * GIB, 3))


def test_the_step_for_a_need_is_the_next_larger_one():
    assert [GRID.cpu_for(cores) for cores in (0.1, 0.5, 0.5 + 1e-12, 0.51, 1.5, 1.6)] == [0, 0, 0, 1, 2, None]
    assert [GRID.mem_for(size) for size in (1, GIB, GIB + 100, 3 * GIB)] == [0, 0, 1, None]


@pytest.mark.parametrize(
    "axis",
    [
        pytest.param((), id="empty"),
        pytest.param((1.0, 0.5), id="upside-down"),
        pytest.param((0.0, 1.0), id="zero"),
        pytest.param((1.0, 1.0), id="twice"),
        pytest.param((-1.0,), id="negative"),
    ],
)
def test_an_axis_without_increasing_steps_is_refused(axis: tuple[float, ...]):
    with pytest.raises(UsageError, match="cpu_cores of a study must be positive and increasing"):
        Grid(cpu_cores=axis, mem_bytes=(GIB,), replicas=(1,), prices=PRICES)


@given(truth=st.integers(0, 10), seed=st.integers(0, 12))
def test_trials_that_agree_lead_to_the_step_where_it_begins_to_hold(truth: int, seed: int):
    threshold = Threshold.around(seed, 0, 9, none_at_least=0.1)
    for _ in range(30):
        step = threshold.middle()
        threshold.learn(step, -1.0 if step >= truth else 1.0, 0.1)
    assert threshold.likeliest == (truth if truth < 10 else None)
    assert threshold.certainty > 0.9


@given(st.lists(st.tuples(st.integers(2, 6), st.none() | st.floats(-3, 3)), max_size=40))
def test_the_step_to_try_is_always_one_of_the_axis(trials: list[tuple[int, float | None]]):
    threshold = Threshold.around(4, 2, 6, none_at_least=0.35)
    for step, margin in trials:
        threshold.learn(step, margin, 0.2)
        assert 2 <= threshold.middle() <= 6
        assert sum(threshold.chances) == pytest.approx(1)
