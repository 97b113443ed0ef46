"""What the master publishes as Locust's own totals."""

from __future__ import annotations

import time

import pytest
from locust.env import Environment

from loadstone.hook.master import _began, locust_totals


@pytest.mark.parametrize("reset", ["reset_all", "clear_all", None])
def test_statistics_that_were_set_to_zero_meanwhile_are_said_to_be(reset: str | None):
    environment = Environment()
    runner = environment.create_local_runner()
    began = _began(environment.stats)
    environment.stats.log_request("GET", "/", 5, 3)
    runner.log_exception("local", "boom", "File")
    time.sleep(0.01)
    if reset:
        getattr(environment.stats, reset)()
    totals = locust_totals(environment, began)
    assert (totals.requests, totals.exceptions, totals.reset) == (0 if reset else 1, 1, reset is not None)
    runner.quit()
