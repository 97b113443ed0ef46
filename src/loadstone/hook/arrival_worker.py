"""Arrivals in a worker: one alarm that wakes a waiting user at each moment of the worker's share of the schedule."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.time import NS_PER_MS, NS_PER_S, NS_PER_US
from loadstone.hook.arrival_plan import ANSWER, ArrivalAnswer, ArrivalPlan, ahead_ns
from loadstone.hook.precise_alarm import PreciseAlarm
from loadstone.hook.waiting_users import WaitingUsers, make_users_wait

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from locust.env import Environment

__all__ = ["ArrivalWorker"]

_LOOK_EVERY_NS: Final = 50 * NS_PER_MS
"""A plan that ends an epoch early must be seen before what would have come next."""
_YIELD_AFTER: Final = 16
"""Iterations that begin one after the other before the loop reads answers again."""
_REST_NS_S: Final = 1 * NS_PER_US
_LONGEST_REST_NS: Final = 1 * NS_PER_MS
"""How long a worker begins nothing after it was woken: 1 us times its arrivals per second, and at most 1 ms.

Sleeping and waking cost about as much CPU as a request. Arrivals that are a millisecond apart or less begin together,
as users do whose wait times end in the same millisecond; at 50/s nothing is later than 0.05 ms for that.
"""
_NEVER_NS: Final = 1 << 62
_MEASURED_WITHIN_NS: Final = 5 * NS_PER_S
"""How long to wait for the offset of this process's clock, where the stream server does not answer."""


class _Share:
    """What this worker owns of one epoch: ``next_ns`` is when its next arrival is due (perf_counter, ns).

    ``ends_ns``: what is due then or later belongs to another epoch.
    """

    def __init__(self, plan: ArrivalPlan, own_id: str, zero_ns: int) -> None:
        epoch = plan.share()
        self.epoch = plan.epoch
        self.ends_ns = _NEVER_NS
        self.begins_ns = zero_ns + int(plan.begins_s * NS_PER_S)
        self._zero_ns = zero_ns
        self._times: Iterator[float] = iter(())
        self.choices: random.Random | None = None
        schedule, self._workers = plan.schedule(), max(1, epoch.workers)
        self._curve = schedule.curve
        if own_id in plan.roster:
            place = plan.roster.index(own_id)
            self._times, self.choices = schedule.arrivals(epoch, place), schedule.choices(epoch, place)
        self.next_ns = 0
        self.advance()

    def rest_ns(self) -> int:
        """How long to begin nothing after a waking, at the rate of this moment."""
        rate = self._curve.rate((time.perf_counter_ns() - self._zero_ns) / NS_PER_S) / self._workers
        return min(int(rate * _REST_NS_S), _LONGEST_REST_NS)

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
        self._zero_ns = self._asked_ns = 0
        self._until_ns = 0
        self.rest_ns = 0
        """How long it begins nothing after each waking."""
        self._ends_ns = _NEVER_NS
        self._share: _Share | None = None
        self._following: deque[_Share] = deque()
        self._sent = self._not_sent = self._cut_off = 0
        self._stopped = False
        make_users_wait(self.users, environment.user_classes)
        self._alarm = PreciseAlarm(self._begin_iterations)
        self._alarm.set(time.perf_counter_ns())

    @property
    def counts(self) -> ArrivalCounts:
        """How many arrivals have been due so far, and what became of them."""
        planned = self._sent + self._not_sent + self._cut_off
        return ArrivalCounts(planned, self._sent, self._not_sent, self._cut_off)

    def take(self, plan: ArrivalPlan) -> None:
        """The master has sent a plan: answer, and go by it."""
        runner = self._environment.runner
        if plan.run != self._run or runner is None:
            return
        answer = ArrivalAnswer(run=self._run, users=runner.user_count, settled=self.users.settled)
        runner.send_message(ANSWER, answer.data())
        if plan.zero_ns is None or not self._knows_time(plan.zero_ns):
            return
        newest = self._following[-1] if self._following else self._share
        if newest is None:
            self._share = self._share_of(plan)
        elif plan.epoch > newest.epoch:
            following = self._share_of(plan)
            # An epoch that this worker has not heard of began when the lease that it knows had ended.
            missed = plan.epoch > newest.epoch + 1
            newest.ends_ns = min(following.begins_ns, self._until_ns) if missed else following.begins_ns
            self._following.append(following)
        self._until_ns = self._zero_ns + int(plan.until_s * NS_PER_S)
        if self._share:
            self.rest_ns = self._share.rest_ns()
        if plan.ends_s is not None:
            self._ends_ns = self._zero_ns + int(plan.ends_s * NS_PER_S)

    def _share_of(self, plan: ArrivalPlan) -> _Share:
        return _Share(plan, self._own_id, self._zero_ns)

    def _knows_time(self, zero_ns: int) -> bool:
        """Find out when the schedule began, by this process's clocks; False while its offset is being measured."""
        if self._zero_ns:
            return True
        now_ns = time.perf_counter_ns()
        self._asked_ns = self._asked_ns or now_ns
        if self._offset_ms() is None and now_ns - self._asked_ns < _MEASURED_WITHIN_NS:
            return False
        self._zero_ns = now_ns + zero_ns + ahead_ns(self._offset_ms()) - self._now_ns()
        return True

    def stop(self) -> None:
        """Begin no more iterations; those that are due by now, and have not begun, are cut off."""
        if self._stopped:
            return
        self._stopped = True
        self._alarm.close()
        last_ns = min(time.perf_counter_ns(), self._ends_ns)
        while self._due_ns() <= last_ns and self._share is not None:
            self._cut_off += 1
            self._share.advance()

    def end(self) -> None:
        """All users have ended."""
        self.stop()
        make_users_wait(None)

    def _begin_iterations(self) -> None:
        """Begin what is due, and come back when the next one is, or when users have had their turn."""
        try:
            self._alarm.set(self._begin_some())
        except BaseException:
            self._alarm.close()  # else it would ring, and fail, without end
            raise

    def _begin_some(self) -> int:
        """Begin what is due, up to a limit; when to come back (perf_counter, ns)."""
        rested_ns = time.perf_counter_ns() + self.rest_ns
        for _ in range(_YIELD_AFTER):
            due_ns, now_ns = self._due_ns(), time.perf_counter_ns()
            if due_ns > now_ns:
                return max(min(due_ns, now_ns + _LOOK_EVERY_NS), rested_ns)
            self._begin_one()
            if self._stopped:  # by the user that has just begun
                break
        return time.perf_counter_ns()

    def _due_ns(self) -> int:
        """When the next arrival of this worker is due and may begin; never, as long as that is not known."""
        share = self._share
        if share is None:
            return _NEVER_NS
        if share.next_ns >= share.ends_ns and self._following:
            self._share = self._following.popleft()
            return self._due_ns()
        return share.next_ns if share.next_ns < min(self._until_ns, share.ends_ns) else _NEVER_NS

    def _begin_one(self) -> None:
        share = self._share
        if share is None or share.choices is None:
            return
        due_ns = share.next_ns
        share.advance()  # before the user has its turn, who may stop the run
        if self.users.wake(due_ns, share.choices):
            self._sent += 1
        else:
            self._not_sent += 1
