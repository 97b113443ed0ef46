"""What ends a run is told from the functions that stop Locust's runner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gevent
import locust
from locust import LoadTestShape, User
from locust.env import Environment

from loadstone.hook.ending import who_stops


class Idle(User):
    """A user that is never started."""


class Nothing(LoadTestShape):
    """Asks for no user at all."""

    def tick(self):
        return None


def ended_by(stop, **environment) -> list[str | None]:
    """What is told of a local run that ``stop(runner)`` ends."""
    told: list[str | None] = []
    made = Environment(user_classes=[Idle], **environment)
    runner = made.create_local_runner()
    made.events.test_stopping.add_listener(lambda **_: told.append(who_stops(sys._getframe().f_back)))
    runner.start(0, 1)
    stop(runner)
    gevent.sleep(0.05)
    runner.quit()
    return told[:1]


def test_a_call_in_the_scenario_is_the_scenario():
    assert ended_by(lambda runner: runner.quit()) == ["scenario"]


def test_a_greenlet_of_the_scenario_is_the_scenario_too():
    assert ended_by(lambda runner: gevent.spawn(runner.quit)) == ["scenario"]


def test_a_package_whose_name_begins_like_locusts_is_the_scenario():
    source = "def end(runner):\n    runner.quit()\n"
    space: dict[str, Any] = {}
    exec(compile(source, f"{Path(locust.__file__).parent}_plugins/end.py", "exec"), space)  # noqa: S102
    assert ended_by(lambda runner: gevent.spawn(space["end"], runner)) == ["scenario"]


def test_a_load_shape_that_is_over_is_the_load_shape():
    assert ended_by(lambda runner: runner.start_shape(), shape_class=Nothing()) == ["load shape"]


def test_every_function_of_locust_that_is_looked_for_exists():
    from locust import main, web
    from locust.runners import MasterRunner, Runner

    assert {Runner.shape_worker.__name__, MasterRunner.heartbeat_worker.__name__} == {
        "shape_worker",
        "heartbeat_worker",
    }
    assert MasterRunner.client_listener.__code__.co_name == "client_listener"
    inner = {code.co_name for code in main.main.__code__.co_consts if hasattr(code, "co_name")}
    assert {"shutdown", "stop_and_optionally_quit"} <= inner
    assert "stop" in {code.co_name for code in web.WebUI.__init__.__code__.co_consts if hasattr(code, "co_name")}
