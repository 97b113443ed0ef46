"""Users of workers that left together are distributed once more, once, and not while Locust is at it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from loadstone.hook.observer import Rebalancer


class Master:
    """A master's runner as far as the Rebalancer looks at it."""

    def __init__(self, **state: Any) -> None:
        defaults = {"state": "running", "user_count": 228, "target_user_count": 400, "spawn_rate": 200.0}
        self.__dict__ |= {**defaults, "worker_count": 4, "environment": SimpleNamespace(shape_class=None), **state}
        self.started: list[tuple[int, float]] = []

    def start(self, users: int, rate: float) -> None:
        self.started.append((users, rate))


def after(master: Master, looks: str) -> list[tuple[int, float]]:
    """What was started after these looks: L where a worker was lost, a dot where none was."""
    rebalancer = Rebalancer()
    for look in looks:
        rebalancer.look(master, lost=look == "L")  # type: ignore[arg-type]
    gevent.sleep(0)
    return master.started


def test_missing_users_are_distributed_once_after_the_loss_has_settled():
    assert after(Master(), "LL..") == []
    assert after(Master(), "LL" + "." * 20) == [(400, 200.0)]


def test_users_that_ended_by_themselves_are_not_started_again():
    assert after(Master(), "." * 20) == []


@pytest.mark.parametrize(
    "state", [{"user_count": 400}, {"state": "stopping"}, {"worker_count": 0}, {"state": "spawning"}]
)
def test_nothing_is_done_where_nothing_is_missing_or_locust_is_at_work(state: dict[str, Any]):
    assert after(Master(**state), "L" + "." * 20) == []


def test_a_load_shape_alone_decides_about_users():
    assert after(Master(environment=SimpleNamespace(shape_class=object())), "L" + "." * 20) == []
