"""What the master sees of its workers and of the users wanted, published once a second where it has changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import gevent
from locust.runners import (
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
    MasterRunner,
)

from loadstone.domain.event import Roster, Stage, WorkerJoined, WorkerLost
from loadstone.hook.identity import target_users

if TYPE_CHECKING:
    from locust.runners import Runner

    from loadstone.hook.sender import EventPublisher

__all__ = ["Observer", "Rebalancer"]

_SETTLED_AFTER: Final = 3
"""Looks without another loss after which users are distributed again: within ten seconds of the loss."""
log = logging.getLogger("loadstone.master")


class Observer:
    """What the master saw a second ago, to publish what has changed."""

    def __init__(self) -> None:
        self._workers: dict[str, int] = {}
        self._target: int | None = None
        self._rebalancer = Rebalancer()

    def compare(self, runner: Runner, publisher: EventPublisher) -> None:
        """Look at a runner and publish what has changed since the last look."""
        if isinstance(runner, MasterRunner):
            self._compare_workers(runner, publisher)
        target = target_users(runner)
        if self._target not in {None, target}:
            publisher.publish(Stage(users=target, before=self._target))
        self._target = target

    def _compare_workers(self, runner: MasterRunner, publisher: EventPublisher) -> None:
        present = self._present(runner)
        joined = sorted(set(present.values()) - set(self._workers.values()))
        lost = sorted(set(self._workers.values()) - set(present.values()))
        if joined:
            publisher.publish(Roster(workers=tuple(sorted(present.values()))))
        for worker in joined if self._workers else ():
            publisher.publish(WorkerJoined(worker=worker))
        for worker in lost:
            publisher.publish(WorkerLost(worker=worker))
        self._rebalancer.look(runner, lost=bool(lost))
        self._workers = present

    def _present(self, runner: MasterRunner) -> dict[str, int]:
        """The workers that are there, by Locust's id: Locust forgets each as soon as it has stopped its users."""
        clients = dict(runner.clients.items())
        present = {id_: runner.get_worker_index(id_) for id_, node in clients.items() if node.state != STATE_MISSING}
        if runner.state not in {STATE_STOPPING, STATE_STOPPED}:
            return present
        return present | {id_: worker for id_, worker in self._workers.items() if id_ not in clients}


class Rebalancer:
    """Distributes users again, once, after workers were lost; users that ended by themselves are not started again."""

    def __init__(self) -> None:
        self._looks_left = 0

    def look(self, runner: MasterRunner, *, lost: bool) -> None:
        """Called once a second; ``lost``: whether a worker was lost since the last call."""
        if lost:
            self._looks_left = _SETTLED_AFTER
        elif self._looks_left and runner.state != STATE_SPAWNING:
            self._looks_left -= 1
            if self._looks_left == 0:
                self._distribute(runner)

    def _distribute(self, runner: MasterRunner) -> None:
        missing = runner.target_user_count - runner.user_count
        has_shape = runner.environment.shape_class is not None
        if runner.state == STATE_RUNNING and missing > 0 and runner.worker_count and not has_shape:
            log.warning("users_missing=%d workers=%d action='distribute them again'", missing, runner.worker_count)
            gevent.spawn(runner.start, runner.target_user_count, runner.spawn_rate)
