"""How many users a worker reports while it stops them, on Locust's own runner with a thousand users."""

from __future__ import annotations

from typing import Any

import gevent
from locust import User, constant, task
from locust.env import Environment
from locust.event import Events
from locust.runners import STATE_CLEANUP, LocalRunner

from loadstone.hook import living_users

USERS = 1000


class Patient(User):
    """A user that mostly waits."""

    wait_time = constant(60)

    @task
    def think(self) -> None:
        gevent.sleep(0.01)


def running() -> tuple[Environment, LocalRunner]:
    """A runner with all its users, as a worker has one when it gets the message to stop."""
    environment = Environment(user_classes=[Patient], events=Events(), stop_timeout=5)
    runner = environment.create_local_runner()
    runner.state = "running"
    runner.spawn_users({"Patient": USERS})
    gevent.sleep(0.2)
    return environment, runner


def report(environment: Environment, runner: LocalRunner) -> tuple[int, int]:
    """What a report says at this moment: by Locust alone, and with what listens to it."""
    data: dict[str, Any] = {"user_classes_count": runner.user_classes_count, "stats": [], "errors": {}}
    counted = sum(data["user_classes_count"].values())
    environment.events.report_to_master.fire(client_id="worker", data=data)
    return counted, sum(data["user_classes_count"].values())


def test_users_are_reported_until_all_have_stopped():
    environment, runner = running()
    living_users.install(environment, runner)
    assert report(environment, runner) == (USERS, USERS)
    stopping = gevent.spawn(runner.stop)
    reports: list[tuple[int, int]] = []
    while not stopping.ready():
        if runner.state == STATE_CLEANUP and runner.user_count:
            reports.append(report(environment, runner))
        gevent.sleep(0)
    assert {mended for _, mended in reports} == {USERS}
    assert any(counted == 0 for counted, _ in reports), "Locust counts them now; else this mend is not needed"
    assert report(environment, runner) == (0, 0)


def test_fewer_users_are_reported_as_locust_counts_them():
    environment, runner = running()
    living_users.install(environment, runner)
    runner.stop_users({"Patient": USERS - 3})
    assert report(environment, runner) == (3, 3)
    runner.stop()
