"""What the master publishes as Locust's own totals."""

from __future__ import annotations

import pytest
from locust.env import Environment
from locust.stats import StatsEntry

from loadstone.hook.master import ResetWatch, locust_totals


@pytest.mark.parametrize("reset", ["reset_all", "clear_all", None])
def test_statistics_that_were_set_to_zero_meanwhile_are_said_to_be(reset: str | None):
    environment = Environment()
    runner = environment.create_local_runner()
    watch = ResetWatch(environment.stats)
    environment.stats.log_request("GET", "/", 5, 3)
    runner.log_exception("local", "boom", "File")
    if reset:
        getattr(environment.stats, reset)()
    totals = locust_totals(environment, reset=watch.happened)
    assert (totals.requests, totals.exceptions, totals.reset) == (0 if reset else 1, 1, reset is not None)
    runner.quit()


def test_a_report_of_a_worker_that_began_earlier_hides_no_reset():
    environment = Environment()
    watch = ResetWatch(environment.stats)
    environment.stats.reset_all()
    earlier = StatsEntry(environment.stats, "Aggregated", None)
    earlier.start_time = environment.stats.total.start_time - 60
    environment.stats.total.extend(earlier)
    assert watch.happened
