"""How many arrivals a rate comes to, and how far a sound run may be off that."""

import itertools

import pytest

from loadstone.domain.arrival_rate import parse_stages
from loadstone.domain.arrivals import Epoch, Schedule, Spread
from loadstone.domain.expected_arrivals import expected_arrivals
from loadstone.errors import SettingsError


def due(rate, spread, seed, workers, from_s, to_s):
    """How many arrivals of the schedule are due in a part of it, counted one by one."""
    schedule = Schedule(parse_stages(rate), Spread(spread), seed)
    epoch = Epoch(0, 0.0, workers)
    times = (itertools.takewhile(lambda at_s: at_s < to_s, schedule.arrivals(epoch, each)) for each in range(workers))
    return sum(at_s >= from_s for at_s in itertools.chain.from_iterable(times))


@pytest.mark.parametrize(
    ("rate", "from_s", "to_s", "arrivals"),
    [
        (["100/s"], 0, 10, 1000),
        (["100/s"], -5, 10, 1000),  # nothing is due before it begins
        (["100/s"], -5, -1, 0),
        (["0/s..100/s over 10s"], 0, 10, 500),
        (["0/s..100/s over 10s"], 5, 15, 375 + 500),  # the last rate holds
        (["60/m over 10s", "10/s"], 5, 20, 5 + 100),
    ],
)
def test_the_rate_is_added_up_over_the_window(rate, from_s, to_s, arrivals):
    assert expected_arrivals(rate, "poisson", 2, from_s, to_s).arrivals == pytest.approx(arrivals)


@pytest.mark.parametrize("spread", ["poisson", "constant"])
@pytest.mark.parametrize(("rate", "to_s"), [(["20/s"], 3), (["500/s"], 2), (["50/s..300/s over 5s"], 8), (["1/s"], 10)])
def test_chance_alone_never_leads_out_of_the_tolerance(spread, rate, to_s):
    expected = expected_arrivals(rate, spread, 3, 1, to_s)
    for seed in range(100):
        assert abs(due(rate, spread, seed, 3, 1, to_s) - expected.arrivals) <= expected.tolerance


def test_the_share_of_a_worker_that_is_missing_for_a_while_is_noticed():
    """One of four workers begins nothing for four of sixty seconds."""
    expected = expected_arrivals(["2000/s"], "poisson", 4, 0, 60)
    assert expected.tolerance < 2000 / 4 * 4
    assert expected_arrivals(["2000/s"], "constant", 4, 0, 60).tolerance < expected.tolerance


def test_in_a_short_run_chance_and_the_edges_of_the_window_are_tolerated():
    assert expected_arrivals(["100/s"], "constant", 3, 5, 15).tolerance == 3 + 20
    assert expected_arrivals(["100/s"], "poisson", 3, 5, 15).tolerance == pytest.approx(4 * 1000**0.5 + 20)
    assert expected_arrivals(["0/s..100/s over 10s"], "constant", 3, 0, 10).tolerance == 3 + 20


@pytest.mark.parametrize(("spread", "seconds"), [("poisson", 3600), ("constant", 600)])
def test_half_a_percent_is_tolerated_in_a_long_run(spread, seconds):
    expected = expected_arrivals(["1000/s"], spread, 4, 0, seconds)
    assert expected.tolerance == pytest.approx(0.005 * expected.arrivals)


def test_a_rate_of_another_version_is_refused():
    with pytest.raises(SettingsError, match="as fast as possible"):
        expected_arrivals(["as fast as possible"], "poisson", 1, 0, 10)
