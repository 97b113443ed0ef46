"""What the hook does where a test is steered: a Locust master, or a plain Locust process."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.rpc.protocol import Message
from locust.runners import MasterRunner

from loadstone.domain.event import EventKind
from loadstone.locustio.announcer import Announcer
from loadstone.locustio.identity import identity_of
from loadstone.locustio.rebalancing import Rebalancer
from loadstone.locustio.run_id import RUN_OPTION, SEED_OPTION, new_run_id

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import Runner

    from loadstone.settings import HookSettings, RunRequest

__all__ = ["MasterHook"]

_LAST_WORDS_TIMEOUT_S: Final = 10.0
_MISSING: Final = "missing"
log = logging.getLogger("loadstone.master")


class MasterHook:
    """Names the runs of this process, ends them in time and says what happens to them."""

    def __init__(self, environment: Environment, settings: HookSettings, redis_url: str) -> None:
        self.run: str | None = None
        self._environment = environment
        self._given = self._settings = settings
        self._expected: RunRequest | None = None
        self._redis_url = redis_url
        self._announcer: Announcer | None = None
        self._greenlets: list[gevent.Greenlet[..., Any]] = []
        self._anchor_ns = time.time_ns() - time.perf_counter_ns()

    def begin(self) -> None:
        """A test starts: give it an id, which travels to the workers with Locust's own options."""
        self._settings, self._expected = _with_request(self._given, self._expected), None
        self.run = run = new_run_id()
        setattr(self._environment.parsed_options, RUN_OPTION, run)
        setattr(self._environment.parsed_options, SEED_OPTION, self._settings.seed)
        self._announcer = Announcer(self._redis_url, run, self._now_ns)
        self._announcer.say(EventKind.STARTED, **identity_of(self._environment, self._settings))
        log.info("run=%s state=started", run)
        self._greenlets = [gevent.spawn(self._watch)]
        if self._settings.run_time is not None:
            self._greenlets.append(gevent.spawn_later(self._settings.run_time, self._finish))

    def expect(self, wanted: RunRequest) -> None:
        """The next run is to be like this, and only that one."""
        self._expected = wanted

    def interrupt(self) -> None:
        """Somebody ends the run early."""
        if self._announcer is not None:
            self._announcer.say(EventKind.INTERRUPTED)

    def ramp_done(self, user_count: int) -> None:
        """All users run. With a load shape this happens after every stage; the first one opens the window."""
        if self._announcer is None:
            return
        self._announcer.say(EventKind.RAMP_DONE, users=user_count)
        if self._settings.steady_state is not None and self._settings.run_time is None:
            wait_s = self._settings.warmup + self._settings.steady_state
            self._greenlets.append(gevent.spawn_later(wait_s, self._finish))

    def stopping(self) -> None:
        """Users are being stopped."""
        if self._announcer is not None:
            self._announcer.say(EventKind.STOPPING)

    def end(self) -> None:
        """All users have stopped and all workers have reported: say what Locust counted."""
        announcer, self._announcer = self._announcer, None
        if announcer is None:
            return
        greenlets, self._greenlets = self._greenlets, []
        gevent.killall([greenlet for greenlet in greenlets if greenlet is not gevent.getcurrent()])
        total = self._environment.stats.total
        announcer.say(EventKind.STOPPED, requests=total.num_requests, failures=total.num_failures)
        announcer.finish(_LAST_WORDS_TIMEOUT_S)
        log.info("run=%s state=stopped requests=%d", announcer.run, total.num_requests)

    def _now_ns(self) -> int:
        return self._anchor_ns + time.perf_counter_ns()

    def _finish(self) -> None:
        runner, options = self._environment.runner, self._environment.parsed_options
        if runner is None:
            return
        if options is not None and options.headless:
            gevent.spawn(runner.quit)
        else:
            gevent.spawn(runner.stop)

    def _watch(self) -> None:
        seen = _Seen()
        while True:
            runner = self._environment.runner
            if runner is not None and self._announcer is not None:
                self._say_users(runner)
                seen.compare(runner, self._announcer)
            gevent.sleep(1)

    def _say_users(self, runner: Runner) -> None:
        if self._announcer is not None:
            self._announcer.say(
                EventKind.USERS,
                users=runner.user_count,
                target_users=runner.target_user_count,
                workers=getattr(runner, "worker_count", 1),
            )


def _with_request(settings: HookSettings, wanted: RunRequest | None) -> HookSettings:
    """The settings of one run: those of the process, with what was asked for in their place."""
    if wanted is None:
        return settings
    return replace(
        settings,
        run_time=wanted.run_time,
        steady_state=wanted.steady_state,
        warmup=wanted.warmup,
        objective=wanted.objective,
        seed=wanted.seed,
        launch=wanted.launch,
    )


class _Seen:
    """What the master saw a second ago, to tell what changed."""

    def __init__(self) -> None:
        self._workers: dict[str, int] = {}
        self._target: int | None = None
        self._rebalancer = Rebalancer()

    def compare(self, runner: Runner, announcer: Announcer) -> None:
        if isinstance(runner, MasterRunner):
            self._compare_workers(runner, announcer)
        if self._target not in {None, runner.target_user_count}:
            announcer.say(EventKind.STAGE, users=runner.target_user_count, before=self._target)
        self._target = runner.target_user_count

    def _compare_workers(self, runner: MasterRunner, announcer: Announcer) -> None:
        there = {
            id_: runner.get_worker_index(id_) for id_, node in list(runner.clients.items()) if node.state != _MISSING
        }
        joined = sorted(set(there.values()) - set(self._workers.values()))
        lost = sorted(set(self._workers.values()) - set(there.values()))
        if joined:
            announcer.say(EventKind.ROSTER, workers=sorted(there.values()))
        for worker in joined if self._workers else ():
            announcer.say(EventKind.WORKER_JOINED, worker=worker)
        for worker in lost:
            announcer.say(EventKind.WORKER_LOST, worker=worker)
        self._rebalancer.look(runner, lost=bool(lost))
        self._workers = there


def quit_gracefully(runner: Any) -> None:
    """Make ``runner.quit`` stop the test first.

    Locust's master quits without waiting for its workers, so users in flight are cut off and the workers' last
    reports are lost. ``stop`` waits for both. It also forgets the workers that have stopped, so those from elsewhere
    would not hear of the end and wait a minute for their master: they are told here.
    """
    quit_at_once = runner.quit

    def quit_after_stop() -> None:
        workers = [client.id for client in runner.clients.all]
        runner.stop()
        for worker in workers:
            if worker not in runner.clients:
                runner.server.send_to_client(Message("quit", None, worker))
        quit_at_once()

    runner.quit = quit_after_stop
