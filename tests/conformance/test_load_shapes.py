"""Load shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import visitor

if TYPE_CHECKING:
    from support.threefold import Threefold

USER = visitor("/shaped", 4)


@pytest.mark.conforms("a `LoadTestShape` of stages that ends by itself", "equal")
def test_stages(threefold: Threefold):
    source = (
        USER
        + """

class Stages(LoadTestShape):
    stages = [(2, 2), (5, 6)]

    def tick(self):
        run_time = self.get_run_time()
        for end, users in self.stages:
            if run_time < end:
                return users, 100
        return None
"""
    )
    threefold.compare(source, load=False).equal(requests=24).passed()


@pytest.mark.conforms("an abstract shape and a shape that is derived from it", "equal")
def test_an_abstract_shape(threefold: Threefold):
    source = (
        USER
        + """

class Short(LoadTestShape):
    abstract = True
    users = 1

    def tick(self):
        return (self.users, 100) if self.get_run_time() < 4 else None


class Three(Short):
    users = 3
"""
    )
    threefold.compare(source, load=False).equal(requests=12).passed()


@pytest.mark.conforms("a shape that never ends, with `-t`", "equal: `-t` is ignored by both")
def test_a_shape_without_an_end(threefold: Threefold):
    source = (
        USER
        + """
from locust.runners import WorkerRunner


class Endless(LoadTestShape):
    def tick(self):
        return 3, 50


@events.test_start.add_listener
def end_by_itself(environment, **_):
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn_later(4, environment.runner.quit)
"""
    )
    threefold.compare(source, "-t", "1s").equal(requests=12).passed()
