"""Arrivals in the master: it shares the schedule out among its workers, and says when the schedule begins."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from msgspec.structs import replace

from loadstone.domain.arrival_shares import ASK_EVERY_S, Answer, Shares
from loadstone.domain.time import NS_PER_S
from loadstone.hook.arrival_plan import PLAN, ArrivalPlan, ahead_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.runners import Runner

    from loadstone.hook.arrival_plan import ArrivalAnswer

__all__ = ["ArrivalMaster"]

_SETTLES_WITHIN_S: Final = 60.0
log = logging.getLogger("loadstone.master")


class ArrivalMaster:
    """The arrivals of one run.

    ``begins`` is called when the schedule does, with the number of users; ``gives_up`` where it never can, because no
    user has come to wait for an arrival.
    ``now_ns``: wall clock of this process; ``offset_ms``: how far it is ahead of the stream server's, if known.
    ``shared`` is called with the plan of every new epoch.
    """

    def __init__(
        self,
        runner: Runner,
        plan: ArrivalPlan,
        now_ns: Callable[[], int],
        offset_ms: Callable[[], float | None],
        *,
        begins: Callable[[int], object],
        gives_up: Callable[[], object],
        shared: Callable[[ArrivalPlan], object] = lambda _: None,
    ) -> None:
        self._runner, self._plan = runner, plan
        self._begins, self._gives_up, self._shared = begins, gives_up, shared
        self._now_ns, self._offset_ms = now_ns, offset_ms
        self._shares = Shares()
        self._spawned_s: float | None = None
        self._epoch = -1
        self._has_given_up = False
        self._greenlets: list[gevent.Greenlet[..., Any]] = [gevent.spawn(self._ask_forever)]

    def take(self, answer: ArrivalAnswer, worker: str) -> None:
        """A worker has answered."""
        if answer.run == self._plan.run:
            self._shares.heard(worker, Answer(answer.users, answer.settled), time.monotonic())

    def spawned(self) -> None:
        """All users have been started; they may still do what they do at their start."""
        self._spawned_s = self._spawned_s or time.monotonic()

    def stop(self) -> None:
        """Users are being stopped: workers hear when that was, since it takes them a moment, and are asked no more."""
        gevent.killall(self._greenlets, block=False)
        if self._shares.begun_s is not None and self._plan.ends_s is None:
            ends_s = max(0.0, time.monotonic() - self._shares.begun_s)
            self._plan = replace(self._plan, ends_s=ends_s, until_s=min(self._plan.until_s, ends_s))
            self._runner.send_message(PLAN, self._plan.data())

    def _ask_forever(self) -> None:
        while True:
            try:
                self._ask()
            except Exception:
                log.exception("arrivals=not_asked action='ask again'")
            gevent.sleep(ASK_EVERY_S)

    def _ask(self) -> None:
        now_s = time.monotonic()
        shares = self._shares
        if shares.begun_s is None and self._may_begin(now_s):
            shares.begin(now_s)
            if shares.begun_s is None:
                self._give_up()
            else:
                self._begin(shares.begun_s - now_s)
        if grant := shares.grant(now_s):
            epoch = grant.epoch
            self._plan = replace(
                self._plan,
                epoch=epoch.number,
                begins_s=epoch.begins_s,
                until_s=grant.until_s,
                roster=grant.roster,
            )
            if epoch.number != self._epoch:
                self._epoch = epoch.number
                self._shared(self._plan)
        self._runner.send_message(PLAN, self._plan.data())

    def _may_begin(self, now_s: float) -> bool:
        if self._spawned_s is None:
            return False
        workers = getattr(self._runner, "worker_count", 1)
        if self._shares.are_settled(workers, now_s):
            return True
        return now_s - self._spawned_s > _SETTLES_WITHIN_S

    def _give_up(self) -> None:
        if not self._has_given_up:
            self._has_given_up = True
            log.error("arrivals=none cause='no user waits for one: all have ended, or are still in on_start'")
            self._greenlets.append(gevent.spawn(self._gives_up))

    def _begin(self, in_s: float) -> None:
        zero_ns = self._now_ns() + int(in_s * NS_PER_S) - ahead_ns(self._offset_ms())
        self._plan = replace(self._plan, zero_ns=zero_ns)
        gevent.get_hub().loop.update_now()
        self._greenlets.append(gevent.spawn_later(in_s, self._begins, self._runner.user_count))
