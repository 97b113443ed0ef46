"""Scenarios that end their run themselves: as early as with plain Locust, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE, Threefold

if TYPE_CHECKING:
    from support.threefold import Comparison

LATER = "15s"
"""Long after these scenarios have ended their runs; where others are left, Locust waits for that."""
_TRIES = 3
CALLER = (
    PRELUDE
    + """
class Caller(HttpUser):
    wait_time = few(5)

    @task
    def get(self):
        self.client.get("/called")


class Ender(HttpUser):
    fixed_count = 1
    wait_time = few(1)

    @task
    def end(self):
        gevent.sleep(3)
        self.client.get("/last")
        ENDING
"""
)


@pytest.mark.conforms("`runner.quit()` in a greenlet that a task starts", "equal")
def test_a_task_ends_the_run(threefold: Threefold):
    source = CALLER.replace("ENDING", "gevent.spawn(self.environment.runner.quit)")
    compared = threefold.compare(source, "-u", "4", "-t", LATER)
    compared.equal(requests=16).passed()
    assert all(boot["final"] for boot in compared.run.run_json()["boots"])


@pytest.mark.conforms(
    "`runner.quit()` in a task, beside other users",
    "equal counts: the others stop, the run time goes on; without users that is *inconclusive*",
)
def test_a_task_stops_the_users(threefold: Threefold):
    source = CALLER.replace("ENDING", "self.environment.runner.quit()")
    compared = threefold.compare(source, "-u", "4", "-t", LATER).equal(requests=16)
    compared.verdict("inconclusive", plain=0, reason="fewer users ran than were wanted")
    assert all(boot["final"] for boot in compared.run.run_json()["boots"])


@pytest.mark.conforms("`raise StopTest` in a task", "equal: only this user ends, with an exception")
def test_a_task_raises_stop_test(threefold: Threefold):
    source = CALLER.replace("ENDING", "raise StopTest('enough')")
    compared = threefold.compare(source, "-u", "4", "-t", LATER).equal(requests=16)
    compared.verdict("fail", plain=1, reason="exit code is 1")


@pytest.mark.conforms("a user alone that calls `runner.quit()` right after a request", "equal")
def test_the_only_user_ends_the_run(threefold: Threefold):
    source = (
        PRELUDE
        + """
class Only(HttpUser):
    wait_time = constant(0.01)
    done = 0

    @task
    def get(self):
        self.client.get("/called")
        self.done += 1
        if self.done == 7:
            self.environment.runner.quit()
"""
    )
    threefold.compare(source, "-u", "1", "-t", LATER).equal(requests=7).passed()


@pytest.mark.conforms("`runner.quit()` by a timer that `test_start` sets", "equal")
def test_a_timer_ends_the_run(threefold: Threefold):
    source = (
        CALLER.replace("ENDING", "")
        + """
@events.test_start.add_listener
def end_later(environment, **_):
    gevent.spawn_later(4, environment.runner.quit)
"""
    )
    with_last_report(threefold, source, "-u", "4", "-t", LATER).equal(requests=16).passed()


def with_last_report(threefold: Threefold, source: str, *options: str) -> Comparison:
    """Both runs, made again where Locust's own total lacks the worker's last report.

    A master that quits waits half a second for it, and this worker quits at the same moment by a timer of its own: on a
    machine that is busy for that long Locust itself counts less, and loadstone says so by its verdict.
    """
    for _ in range(_TRIES):
        compared = threefold.compare(source, *options)
        found = compared.run.run_json()
        if found["locust"]["requests"] == found["requests"] == compared.locust.requests:
            break
    return compared


@pytest.mark.conforms("`runner.stop()` by a timer that `test_start` sets", "equal: users stop, the run time goes on")
def test_a_timer_stops_the_users(threefold: Threefold):
    source = (
        CALLER.replace("ENDING", "")
        + """
@events.test_start.add_listener
def stop_later(environment, **_):
    gevent.spawn_later(4, environment.runner.stop)
"""
    )
    threefold.compare(source, "-u", "4", "-t", "10s").equal(requests=16).passed()
