"""Load shapes that read Locust's options, and one that ends at once."""

from __future__ import annotations

import pytest

from support.threefold import PRELUDE, Threefold

CALLERS = (
    PRELUDE
    + """

class Caller(HttpUser):
    wait_time = few(5)

    @task
    def get(self):
        self.client.get("/called")


class Writer(HttpUser):
    wait_time = few(3)

    @task
    def post(self):
        self.client.post("/written")


"""
)


@pytest.mark.conforms("a load shape with `use_common_options`", "equal: it gets `-u`, `-r` and `-t`")
def test_a_shape_that_reads_common_options(threefold: Threefold):
    source = (
        CALLERS
        + """
class Common(LoadTestShape):
    use_common_options = True

    def tick(self):
        options = self.runner.environment.parsed_options
        if self.get_run_time() < options.run_time:
            return options.num_users, options.spawn_rate, [Caller]
"""
    )
    compared = threefold.compare(source, "-u", "3", "-r", "7", "-t", "6s")
    compared.equal(requests=15).passed()
    found = compared.run.run_json()
    assert (found["users"], found["spawn_rate"], found["run_time_s"]) == (3, 7, 6)


@pytest.mark.conforms(
    "a load shape whose first `tick()` returns None",
    "on purpose: both send nothing; plain Locust exits with 0, loadstone, which has nothing to judge, with 3",
)
def test_a_shape_that_ends_at_once(threefold: Threefold):
    source = (
        CALLERS
        + """
class Nothing(LoadTestShape):
    def tick(self):
        return None
"""
    )
    locust, ours = threefold.try_both(source, load=False)
    assert (locust.exit_code, ours.exit_code) == (0, 3), ours.output
    assert "A load shape whose first tick() returns None does that" in ours.output
