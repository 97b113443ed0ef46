"""Which workers the master reports as joined and lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from locust.env import Environment
from locust.runners import MasterRunner, WorkerNode

from loadstone.domain.event import WorkerJoined, WorkerLost
from loadstone.hook.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.domain.event import Payload


@pytest.fixture
def master() -> Iterator[MasterRunner]:
    """Locust's own master with two running workers that are there by name only."""
    runner = Environment().create_master_runner("127.0.0.1", 0)
    for name in ("first", "second"):
        join(runner, name)
    runner.state = "running"
    yield runner
    context = runner.server.socket.context
    runner.greenlet.kill()
    runner.server.close()
    context.destroy()


def join(master: MasterRunner, name: str) -> None:
    master.clients[name] = WorkerNode(name, state="running")


def seen(observer: Observer, master: MasterRunner) -> list[Payload]:
    """What the observer publishes of workers when it looks."""
    published: list[Payload] = []
    observer.compare(master, SimpleNamespace(publish=published.append))  # type: ignore[arg-type]
    return [each for each in published if isinstance(each, WorkerJoined | WorkerLost)]


def test_a_worker_that_locust_forgets_under_load_is_lost(master: MasterRunner):
    observer = Observer()
    assert seen(observer, master) == []
    del master.clients["second"]
    assert seen(observer, master) == [WorkerLost(worker=1)]


@pytest.mark.parametrize("state", ["stopping", "stopped"])
def test_a_worker_that_has_stopped_its_users_at_the_end_is_not_lost(master: MasterRunner, state: str):
    observer = Observer()
    seen(observer, master)
    master.state = state
    del master.clients["second"]
    assert seen(observer, master) == []
    join(master, "second")
    assert seen(observer, master) == []


def test_a_worker_that_falls_silent_while_users_stop_is_lost(master: MasterRunner):
    observer = Observer()
    seen(observer, master)
    master.state = "stopping"
    master.clients["second"].state = "missing"
    assert seen(observer, master) == [WorkerLost(worker=1)]
