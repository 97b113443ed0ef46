"""Lean users in Locust's runner: tasks, waiting, stopping."""

from __future__ import annotations

import gc
import logging
import random
import subprocess
import sys
from typing import Any

import gevent
import pytest
from locust import SequentialTaskSet, TaskSet, between, constant, tag, task
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, StopUser

from loadstone import LeanHttpUser
from loadstone.lean import instead
from support.processes import wait_in_greenlet


@pytest.fixture
def run():
    """Run users of a class until they have stopped themselves, or for some seconds at most."""

    def run(user_class: Any, users: int = 1, **options: Any):
        environment = Environment(user_classes=[user_class], **options)
        runner = environment.create_local_runner()
        for _ in range(users):
            user_class(environment).start(runner.user_greenlets)
        gevent.joinall(list(runner.user_greenlets), timeout=10)
        assert not runner.user_greenlets
        runner.quit()
        return environment

    return run


def counting(url: str, tasks: int, **attributes: Any):
    """Make a class whose users each run so many tasks and then stop; `done` collects what the tasks add."""

    class Counting(LeanHttpUser):
        host = url
        wait_time = constant(0)
        done: list[Any] = []  # noqa: RUF012  # shared on purpose

        @task
        def ask(self):
            self.client.get("/big/1")
            self.done.append(id(self))
            if self.done.count(id(self)) >= tasks:
                raise StopUser

    for name, value in attributes.items():
        setattr(Counting, name, value)
    return Counting


def test_users_without_wait_take_turns(run: Any, uvicorn_url: str):
    user_class = counting(uvicorn_url, 30)
    environment = run(user_class, users=3)
    assert environment.stats.total.num_requests == 90
    assert len(set(user_class.done[:20])) == 3


def test_a_task_that_sends_nothing_still_lets_others_run(run: Any):
    ticks: list[int] = []

    class Idle(LeanHttpUser):
        host = "http://127.0.0.1:9"
        wait_time = constant(0)

        @task
        def nothing(self):
            ticks.append(1)
            if len(ticks) > 200_000:
                raise StopUser

    def stop():
        gevent.sleep(0.05)
        ticks.extend([1] * 200_000)

    gevent.spawn(stop)
    run(Idle)
    assert len(ticks) < 400_000


def test_tasks_are_chosen_by_weight(run: Any, uvicorn_url: str):
    random.seed(3)
    counts = {"a": 0, "b": 0}

    class Weighted(LeanHttpUser):
        host = uvicorn_url
        wait_time = constant(0)

        @task(9)
        def a(self):
            counts["a"] += 1
            gevent.sleep(0)

        @task
        def b(self):
            counts["b"] += 1
            if sum(counts.values()) > 1000:
                raise StopUser

    run(Weighted)
    assert 0.85 < counts["a"] / sum(counts.values()) < 0.95


def test_nested_and_sequential_task_sets_run_as_in_locust(run: Any, uvicorn_url: str):
    order: list[str] = []

    class Steps(SequentialTaskSet):
        @task
        def first(self):
            self.client.get("/big/1")
            order.append("first")

        @task
        def second(self):
            order.append("second")
            self.interrupt()

    class Nested(LeanHttpUser):
        host = uvicorn_url
        wait_time = constant(0)
        tasks = [Steps]  # noqa: RUF012

        def on_stop(self):
            order.append("stopped")

    class Stopping(Nested):
        @task
        def stop(self):
            if len(order) >= 4:
                raise StopUser

    run(Stopping)
    assert order[:2] == ["first", "second"]
    assert order[-1] == "stopped"


def test_a_task_can_reschedule_and_interrupt(run: Any, uvicorn_url: str):
    order: list[int] = []

    class Inner(TaskSet):
        @task
        def leave(self):
            raise InterruptTaskSet(reschedule=False)

    class Restless(LeanHttpUser):
        host = uvicorn_url
        wait_time = constant(0)
        tasks = [Inner]  # noqa: RUF012

        @task
        def again(self):
            order.append(1)
            if len(order) < 5:
                raise RescheduleTask
            raise StopUser

    run(Restless)
    assert len(order) == 5


def test_an_exception_in_a_task_is_reported_and_the_user_goes_on(run: Any, uvicorn_url: str, caplog: Any):
    seen: list[Any] = []

    class Failing(LeanHttpUser):
        host = uvicorn_url
        wait_time = constant(0)

        def on_start(self):
            self.environment.events.user_error.add_listener(lambda **keywords: seen.append(keywords["exception"]))

        @task
        def fail(self):
            if seen:
                raise StopUser
            raise KeyError("mine")

    with caplog.at_level(logging.CRITICAL):
        run(Failing)
    assert [type(error) for error in seen] == [KeyError]


def test_tags_choose_tasks(uvicorn_url: str):
    class Tagged(LeanHttpUser):
        host = uvicorn_url

        @tag("a")
        @task
        def a(self):
            pass

        @task
        def b(self):
            pass

    environment = Environment(user_classes=[Tagged], tags=["a"])
    environment.assign_equal_weights()
    environment._filter_tasks_by_tags()
    assert [chosen.__name__ for chosen in Tagged.tasks] == ["a"]


def test_a_user_without_tasks_says_so_as_in_locust(run: Any, caplog: Any):
    class Empty(LeanHttpUser):
        host = "http://127.0.0.1:9"
        wait_time = between(0.01, 0.01)

    environment = Environment(user_classes=[Empty])
    with pytest.raises(Exception, match="No tasks defined on Empty"):
        Empty(environment)._taskset_instance or __import__("loadstone.lean.user", fromlist=["LeanTaskSet"]).LeanTaskSet(
            Empty(environment)
        ).get_next_task()


def test_a_waiting_user_stops_at_once_and_a_busy_one_after_its_task(uvicorn_url: str):
    stopped: list[str] = []

    class Waiting(LeanHttpUser):
        host = uvicorn_url
        wait_time = constant(60)

        @task
        def ask(self):
            self.client.get("/big/1")

        def on_stop(self):
            stopped.append("stopped")

    environment = Environment(user_classes=[Waiting])
    runner = environment.create_local_runner()
    user = Waiting(environment)
    user.start(runner.user_greenlets)
    wait_in_greenlet(lambda: user._state == "waiting", "the user waits")
    assert user.stop()
    assert stopped == ["stopped"]
    (pool,) = user.client._pools.values()
    assert not pool._idle
    runner.quit()


def test_a_user_that_is_gone_has_closed_its_connections(uvicorn_url: str):
    environment = Environment()
    user: Any = type("Gone", (LeanHttpUser,), {"host": uvicorn_url})(environment)
    user.client.get("/big/1")
    (pool,) = user.client._pools.values()
    (connection,) = pool._idle
    del user, pool
    gc.collect()
    assert not connection.alive


def test_importing_loadstone_does_not_import_locust():
    code = "import sys, loadstone; print('locust' in sys.modules, loadstone.LeanHttpUser.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "LeanHttpUser"]


def test_a_name_that_loadstone_has_not_is_an_attribute_error():
    import loadstone

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = loadstone.nothing


@pytest.mark.parametrize("name", sorted(instead.CLIENT))
def test_what_other_clients_have_is_refused_with_what_to_use_instead(name: str):
    client = type("Switched", (LeanHttpUser,), {"host": "http://127.0.0.1:9"})(Environment()).client
    with pytest.raises(AttributeError, match=f"has no '{name}'; "):
        getattr(client, name)
    with pytest.raises(AttributeError, match=f"has no '{name}'; "):
        setattr(client, name, None)


def test_a_user_without_host_says_what_to_give():
    from locust.exception import StopTest

    user_class = type("Homeless", (LeanHttpUser,), {})
    with pytest.raises(StopTest, match="--host"):
        user_class(Environment())
