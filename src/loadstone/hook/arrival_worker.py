"""Arrivals in a worker: one greenlet that wakes a waiting user at each moment of the worker's share of the schedule."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import gevent

from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.time import NS_PER_S
from loadstone.hook.arrival_plan import ANSWER, ArrivalAnswer, ArrivalPlan, ahead_ns
from loadstone.hook.waiting_users import WaitingUsers, make_users_wait

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from locust.env import Environment

__all__ = ["ArrivalWorker"]

_LOOK_EVERY_S: Final = 0.05
"""A plan that ends an epoch early must be seen before what would have come next."""
_YIELD_AFTER: Final = 16
"""Iterations that begin one after the other before users get their turn."""
_NEVER_NS: Final = 1 << 62


class _Share:
    """What this worker owns of one epoch: ``next_ns`` is when its next arrival is due (perf_counter, ns)."""

    def __init__(self, plan: ArrivalPlan, own_id: str, zero_ns: int) -> None:
        epoch = plan.share()
        self.epoch = plan.epoch
        self.begins_ns = zero_ns + int(plan.begins_s * NS_PER_S)
        self._zero_ns = zero_ns
        self._times: Iterator[float] = iter(())
        self.choices: random.Random | None = None
        if own_id in plan.roster:
            schedule, place = plan.schedule(), plan.roster.index(own_id)
            self._times, self.choices = schedule.arrivals(epoch, place), schedule.choices(epoch, place)
        self.next_ns = 0
        self.advance()

    def advance(self) -> None:
        """Go on to the arrival after this one."""
        due_s = next(self._times, math.inf)
        self.next_ns = _NEVER_NS if due_s == math.inf else self._zero_ns + int(due_s * NS_PER_S)


class ArrivalWorker:
    """Begins the iterations of one run in this process. ``own_id`` is this worker's id in Locust.

    ``now_ns``: wall clock of this process; ``offset_ms``: how far it is ahead of the stream server's, if known.
    """

    def __init__(
        self,
        environment: Environment,
        run: str,
        own_id: str,
        now_ns: Callable[[], int],
        offset_ms: Callable[[], float | None],
    ) -> None:
        self.users = WaitingUsers()
        self._environment = environment
        self._run, self._own_id = run, own_id
        self._now_ns, self._offset_ms = now_ns, offset_ms
        self._zero_ns: int | None = None
        self._until_ns = 0
        self._share: _Share | None = None
        self._following: _Share | None = None
        self._sent = self._not_sent = 0
        make_users_wait(self.users, environment.user_classes)
        self._greenlet = gevent.spawn(self._begin_iterations)

    @property
    def counts(self) -> ArrivalCounts:
        """How many arrivals have been due so far, for how many an iteration began, and for how many none did."""
        return ArrivalCounts(self._sent + self._not_sent, self._sent, self._not_sent)

    def take(self, plan: ArrivalPlan) -> None:
        """The master has sent a plan: answer, and go by it."""
        runner = self._environment.runner
        if plan.run != self._run or runner is None:
            return
        answer = ArrivalAnswer(run=self._run, users=runner.user_count, settled=self.users.settled)
        runner.send_message(ANSWER, answer.data())
        if plan.zero_ns is None:
            return
        if self._zero_ns is None:
            self._zero_ns = time.perf_counter_ns() + plan.zero_ns + ahead_ns(self._offset_ms()) - self._now_ns()
        newest = self._following or self._share
        if newest is None:
            self._share = _Share(plan, self._own_id, self._zero_ns)
        elif plan.epoch > newest.epoch:
            self._following = _Share(plan, self._own_id, self._zero_ns)
        self._until_ns = self._zero_ns + int(plan.until_s * NS_PER_S)

    def stop(self) -> None:
        """Begin no more iterations."""
        self._greenlet.kill()

    def end(self) -> None:
        """All users have ended."""
        self.stop()
        make_users_wait(None)

    def _begin_iterations(self) -> None:
        while True:
            for _ in range(_YIELD_AFTER):
                wait_s = self._wait_s()
                if wait_s > 0:
                    break
                self._begin_one()
            gevent.sleep(min(max(0.0, wait_s), _LOOK_EVERY_S))

    def _wait_s(self) -> float:
        """Seconds until the next arrival of this worker; 0 when it is due, and may begin."""
        share, following = self._share, self._following
        if share is None:
            return _LOOK_EVERY_S
        if following is not None and share.next_ns >= following.begins_ns:
            self._share, self._following = following, None
            return self._wait_s()
        if share.next_ns >= self._until_ns:
            return _LOOK_EVERY_S
        return max(0.0, (share.next_ns - time.perf_counter_ns()) / NS_PER_S)

    def _begin_one(self) -> None:
        share = self._share
        if share is None or share.choices is None:
            return
        if self.users.wake(share.next_ns, share.choices):
            self._sent += 1
        else:
            self._not_sent += 1
        share.advance()
