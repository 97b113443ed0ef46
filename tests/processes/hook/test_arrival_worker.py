"""ArrivalWorker and WaitingUsers: who is woken when, with users that end while they wait; the runner is a double."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from locust import TaskSet, User, constant, task
from locust.env import Environment

from loadstone.domain.arrivals import Spread
from loadstone.hook.arrival_plan import ArrivalPlan
from loadstone.hook.arrival_worker import ArrivalWorker
from loadstone.hook.waiting_users import WaitingUsers, make_users_wait
from loadstone.lean.user import LeanTaskSet

NS = 1_000_000_000
CHOICES = random.Random(1)


def plan(**changes: Any) -> ArrivalPlan:
    known = {"run": "r", "rate": ("100/s",), "spread": Spread.CONSTANT, "seed": 1, "roster": ("a", "b")}
    return ArrivalPlan(**{**known, "zero_ns": time.time_ns(), "until_s": 60.0, **changes})


class Noting(WaitingUsers):
    """Everybody is there at once; it notes when arrivals are due."""

    def __init__(self) -> None:
        super().__init__()
        self.due_ns: list[int] = []

    def wake(self, due_ns: int, choices: random.Random) -> bool:
        self.due_ns.append(due_ns)
        return True


@pytest.fixture
def worker():
    runner = SimpleNamespace(user_count=3, send_message=lambda *_: None)
    environment: Any = SimpleNamespace(runner=runner, user_classes=[])
    made = ArrivalWorker(environment, "r", "a", time.time_ns, lambda: 0.0)
    made.users = Noting()
    yield made
    made.end()


def due_s(worker: ArrivalWorker, begun_ns: int) -> list[float]:
    return [round((each - begun_ns) / NS, 2) for each in worker.users.due_ns]


def test_each_epoch_ends_where_the_next_begins_however_late_they_are_heard_of(worker: ArrivalWorker):
    zero_ns, begun_ns = time.time_ns() - 2 * NS, time.perf_counter_ns() - 2 * NS
    worker.take(plan(zero_ns=zero_ns, until_s=0.5))
    worker.take(plan(zero_ns=zero_ns, epoch=1, begins_s=0.5, until_s=1.0, roster=("b",)))
    worker.take(plan(zero_ns=zero_ns, epoch=2, begins_s=1.0, until_s=1.5, roster=("b", "a")))
    gevent.sleep(0.3)
    expected = [*(at / 100 for at in range(0, 50, 2)), *(at / 100 for at in range(101, 150, 2))]
    assert due_s(worker, begun_ns) == pytest.approx(expected, abs=0.011)


def test_after_an_epoch_that_it_has_not_heard_of_a_worker_keeps_to_the_lease_that_it_knew(worker: ArrivalWorker):
    zero_ns, begun_ns = time.time_ns() - 2 * NS, time.perf_counter_ns() - 2 * NS
    worker.take(plan(zero_ns=zero_ns, until_s=0.5))
    worker.take(plan(zero_ns=zero_ns, epoch=2, begins_s=1.0, until_s=1.2, roster=("b", "a")))
    gevent.sleep(0.3)
    assert [each for each in due_s(worker, begun_ns) if 0.51 < each < 0.99] == []
    assert max(due_s(worker, begun_ns)) == pytest.approx(1.19, abs=0.02)


def test_nothing_that_is_due_after_the_lease_begins_until_it_is_renewed(worker: ArrivalWorker):
    zero_ns = time.time_ns() - NS
    worker.take(plan(zero_ns=zero_ns, until_s=0.5))
    gevent.sleep(0.3)
    assert worker.counts == (25, 25, 0, 0)
    worker.take(plan(zero_ns=zero_ns, until_s=1.0))
    gevent.sleep(0.3)
    assert worker.counts == (50, 50, 0, 0)


def test_what_is_due_and_not_begun_when_users_are_stopped_is_cut_off(worker: ArrivalWorker):
    worker.take(plan(zero_ns=time.time_ns() - NS, until_s=0.5))
    worker.take(plan(zero_ns=time.time_ns() - NS, epoch=1, begins_s=0.5, until_s=0.7, roster=("a",)))
    worker.stop()
    assert worker.counts == (45, 0, 0, 45), "no greenlet has had its turn yet"
    worker.stop()
    assert worker.counts == (45, 0, 0, 45)


def test_what_is_due_after_the_master_has_stopped_the_run_is_not_cut_off(worker: ArrivalWorker):
    zero_ns = time.time_ns() - NS
    worker.take(plan(zero_ns=zero_ns, until_s=0.9))
    worker.take(plan(zero_ns=zero_ns, until_s=0.4, ends_s=0.4))
    worker.stop()
    assert worker.counts == (20, 0, 0, 20)


def test_what_is_due_after_the_alarm_has_failed_is_cut_off(worker: ArrivalWorker):
    def fail(*_: object) -> bool:
        raise RuntimeError

    worker.users.wake = fail
    worker.take(plan(zero_ns=time.time_ns() - NS, until_s=0.5))
    gevent.sleep(0.1)
    worker.stop()
    assert worker.counts == (24, 0, 0, 24), "all but the one that failed"


@pytest.mark.parametrize(
    ("rate", "roster", "rest_us"),
    [("100/s", ("a", "b"), 50), ("1000/s", ("a", "b"), 500), ("1000/s", ("a",), 1000), ("9000/s", ("b", "a"), 1000)],
)
def test_the_more_a_worker_begins_the_longer_it_rests_after_each_waking(
    worker: ArrivalWorker, rate: str, roster: tuple[str, ...], rest_us: int
):
    worker.take(plan(rate=(rate,), roster=roster))
    assert worker.rest_ns == rest_us * 1000


def test_a_rest_follows_a_rate_that_rises(worker: ArrivalWorker):
    worker.take(plan(rate=("0/s..1000/s over 10s",), zero_ns=time.time_ns() - 5 * NS, roster=("a",)))
    assert worker.rest_ns == pytest.approx(500_000, rel=0.05)


def test_arrivals_that_are_less_than_a_millisecond_apart_begin_together_and_all_of_them(
    worker: ArrivalWorker, monkeypatch: pytest.MonkeyPatch
):
    wakings: list[None] = []
    begin_some = worker._begin_some
    monkeypatch.setattr(worker, "_begin_some", lambda: wakings.append(None) or begin_some())
    worker.take(plan(rate=("4000/s over 1s", "0/s"), roster=("a",)))
    gevent.sleep(1.2)
    assert len(worker.users.due_ns) == 4001, "one every quarter of a millisecond, the first at 0 s and the last at 1 s"
    assert len(wakings) < 2000, "one for each would be four for every millisecond"


def test_an_iteration_that_stops_the_run_as_its_first_act_is_sent_and_the_rest_cut_off(worker: ArrivalWorker):
    begun: list[int] = []

    def begin(due_ns: int, _: random.Random) -> bool:
        begun.append(due_ns)
        if len(begun) == 3:
            worker.stop()
        return True

    worker.users.wake = begin
    worker.take(plan(zero_ns=time.time_ns() - NS, until_s=0.5))
    gevent.sleep(0.1)
    assert len(begun) == 3
    assert worker.counts == (25, 3, 0, 22)


class Waiter(User):
    wait_time = constant(1000)
    log: list[str]

    @task
    def work(self) -> None:
        self.log.append("work")

    def on_stop(self) -> None:
        gevent.sleep(0.2)
        self.log.append("stopped")


class Slow(User):
    wait_time = constant(1000)
    log: list[str]

    @task
    def work(self) -> None:
        gevent.sleep(0.15)
        self.log.append("work")


class Heir(Waiter):
    def on_start(self) -> None:
        super().on_start()
        self.log.append("heir")


@pytest.fixture
def users():
    environment = Environment(user_classes=[Waiter, Slow, Heir])
    waiting = WaitingUsers()
    make_users_wait(waiting, environment.user_classes)
    group = gevent.pool.Group()

    def start(kind: type[Waiter | Slow]) -> Waiter | Slow:
        user = kind(environment)
        user.log = []
        user.start(group)
        gevent.sleep(0)
        return user

    yield waiting, start
    group.kill()
    make_users_wait(None)


def wake(waiting: WaitingUsers) -> bool:
    """Wake a user, as the alarm does: in the loop's own greenlet."""
    woken: list[bool] = []
    gevent.get_hub().loop.run_callback(lambda: woken.append(waiting.wake(time.perf_counter_ns(), CHOICES)))
    gevent.sleep(0.02)
    return woken[0]


def test_after_a_run_locusts_classes_and_the_scenarios_are_as_before():
    kinds = (TaskSet, LeanTaskSet, User, Waiter, Heir)
    before = [dict(vars(kind)) for kind in kinds]
    for _ in range(2):
        make_users_wait(WaitingUsers(), [Waiter, Heir])
        assert [dict(vars(kind)) for kind in kinds] != before
        make_users_wait(None)
        assert [dict(vars(kind)) for kind in kinds] == before


def test_a_user_runs_one_task_for_each_arrival(users):
    waiting, start = users
    user = start(Waiter)
    gevent.sleep(0.05)
    assert (user.log, waiting.settled) == ([], 1)
    for _ in range(3):
        assert wake(waiting)
    assert user.log == ["work"] * 3


def test_nobody_is_woken_whose_iteration_is_not_over(users):
    waiting, start = users
    user = start(Slow)
    gevent.sleep(0.05)
    assert wake(waiting)
    assert not wake(waiting), "nobody else waits"
    gevent.sleep(0.2)
    assert wake(waiting)
    assert user.log == ["work"]


def test_users_of_a_class_that_inherits_another_one_wait_once_after_all_of_their_start(users):
    waiting, start = users
    user = start(Heir)
    gevent.sleep(0.05)
    assert user.log == ["heir"]
    assert wake(waiting)
    assert user.log == ["heir", "work"]


def test_a_user_that_is_killed_while_it_waits_is_not_woken_in_its_on_stop(users):
    waiting, start = users
    user, other = start(Waiter), start(Waiter)
    gevent.sleep(0.05)
    user.stop(force=True)
    gevent.sleep(0.05)
    assert wake(waiting)
    gevent.sleep(0.3)
    assert (user.log, other.log) == (["stopped"], ["work"])
    assert waiting.settled == 1


def test_a_user_that_was_started_another_way_is_woken_as_others_are(users):
    waiting, _ = users
    user = Waiter(Environment(user_classes=[Waiter]))
    user.log = []
    greenlet = gevent.spawn(user.run)
    gevent.sleep(0.05)
    for _ in range(2):
        assert wake(waiting)
    assert user.log == ["work"] * 2
    greenlet.kill()


def test_a_user_that_is_being_killed_is_not_chosen(users):
    waiting, start = users
    user = start(Waiter)
    gevent.sleep(0.05)
    woken = []

    def kill_and_wake() -> None:
        user.greenlet.kill(block=False)
        woken.append(waiting.wake(time.perf_counter_ns(), CHOICES))

    gevent.get_hub().loop.run_callback(kill_and_wake)
    gevent.sleep(0.3)
    assert (woken, user.log) == ([False], ["stopped"])
