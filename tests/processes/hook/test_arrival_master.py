"""ArrivalMaster: when the schedule begins, what is shared, and when it is given up; its workers are doubles."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from locust import User
from locust.env import Environment

from loadstone.domain.arrivals import Spread
from loadstone.hook import arrival_master
from loadstone.hook.arrival_master import ArrivalMaster
from loadstone.hook.arrival_plan import ArrivalAnswer, ArrivalPlan
from loadstone.hook.master import MasterHook
from loadstone.settings import HookSettings, load

PLAN = ArrivalPlan(run="r", rate=("5/s",), spread=Spread.POISSON, seed=1)


class Deployment:
    """A master that asks, and workers that answer with as many users as they have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **workers: int) -> None:
        monkeypatch.setattr(arrival_master, "ASK_EVERY_S", 0.02)
        monkeypatch.setattr(arrival_master, "_SETTLES_WITHIN_S", 0.3)
        self.begun: list[int] = []
        self.given_up, self.sent = 0, 0
        self.shared: list[ArrivalPlan] = []
        self.workers, self.fails = workers, False
        self.runner: Any = SimpleNamespace(user_count=7, worker_count=len(workers), send_message=self._answer)
        self.master = ArrivalMaster(
            self.runner,
            PLAN,
            time.time_ns,
            lambda: None,
            begins=self.begun.append,
            gives_up=self._note_end,
            shared=self.shared.append,
        )

    def _answer(self, _kind: str, _data: dict[str, Any]) -> None:
        self.sent += 1
        if self.fails:
            raise OSError("no buffer space")
        for worker, users in self.workers.items():
            self.master.take(ArrivalAnswer(run="r", users=users, settled=users), worker)

    def _note_end(self) -> None:
        self.given_up += 1

    def go_on(self, seconds: float) -> None:
        gevent.sleep(seconds)


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch):
    made: list[Deployment] = []

    def make(**workers: int) -> Deployment:
        made.append(Deployment(monkeypatch, **workers))
        return made[-1]

    yield make
    for each in made:
        each.master.stop()


def test_the_schedule_begins_once_when_all_users_wait(deploy):
    there = deploy(a=3, b=4)
    there.go_on(0.2)
    assert there.shared == [], "not all users have been started"
    there.master.spawned()
    there.go_on(0.9)
    assert there.begun == [7]
    (plan,) = there.shared
    assert (plan.epoch, plan.roster) == (0, ("a", "b"))
    assert abs(plan.zero_ns - time.time_ns()) < 1e9


def test_a_worker_without_users_is_not_waited_for(deploy):
    there = deploy(a=3, b=0)
    there.master.spawned()
    there.go_on(0.2)
    assert [plan.roster for plan in there.shared] == [("a",)]


def test_where_no_user_ever_waits_the_run_is_given_up_once(deploy):
    there = deploy(a=0)
    there.master.spawned()
    there.go_on(0.8)
    assert (there.given_up, there.begun, there.shared) == (1, [], [])


def test_a_message_that_cannot_be_sent_does_not_end_the_arrivals(deploy):
    there = deploy(a=3)
    there.fails = True
    there.go_on(0.1)
    there.fails, there.sent = False, 0
    there.master.spawned()
    there.go_on(0.8)
    assert there.sent > 10
    assert there.begun == [7]


def test_a_schedule_that_is_stopped_before_it_begins_does_not_begin_later(deploy):
    there = deploy(a=3)
    there.master.spawned()
    there.go_on(0.2)
    there.master.stop()
    there.go_on(0.6)
    assert there.begun == []


class Idle(User):
    """A user of no service."""


@pytest.mark.usefixtures("as_if_started_by_locust")
def test_a_run_without_a_rate_after_one_with_a_rate_has_none():
    environment = Environment(user_classes=[Idle], parsed_options=SimpleNamespace(headless=False))
    environment.create_local_runner()
    hook = MasterHook(environment, load(HookSettings, environ={"LOADSTONE_RATE": "5/s"}), "redis://127.0.0.1:1/0")
    hook.begin()
    assert hook._arrivals is not None
    hook.stopping()
    hook._process_settings = load(HookSettings, environ={})
    hook.begin()
    assert hook._arrivals is None
    hook.stopping()
