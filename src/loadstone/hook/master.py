"""What the hook does in the process that controls a test: a Locust master, or a plain Locust process."""

from __future__ import annotations

import logging
import secrets
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.rpc.protocol import Message

from loadstone.domain.arrival_rate import parse_stages
from loadstone.domain.arrivals import Spread
from loadstone.domain.event import (
    ArrivalsShared,
    Interrupted,
    RampDone,
    Stopped,
    Stopping,
    Users,
)
from loadstone.hook.arrival_master import ArrivalMaster
from loadstone.hook.arrival_plan import ArrivalAnswer, ArrivalPlan
from loadstone.hook.arrival_shapes import with_shape
from loadstone.hook.ending import who_stops
from loadstone.hook.identity import (
    ARRIVALS_OPTION,
    ONLY_RUN_OPTION,
    SEED_OPTION,
    files_of,
    give_secret,
    identity_of,
    is_only_run,
    new_run_id,
    target_users,
)
from loadstone.hook.observer import Observer
from loadstone.hook.open_load import refuse_own_loops
from loadstone.hook.outcome import RunOutcome
from loadstone.hook.sender import EventPublisher
from loadstone.hook.web_form import rate_given
from loadstone.stream.proof import RunSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.runners import Runner
    from locust.stats import RequestStats

    from loadstone.settings import HookSettings, RunRequest

__all__ = ["MasterHook", "ResetWatch"]

_FLUSH_TIMEOUT_S: Final = 10.0
_CLOCK_EVERY_S: Final = 10.0
_SEEDS: Final = 1_000_000
log = logging.getLogger("loadstone.master")


class MasterHook:
    """Gives the runs of this process their ids, ends them in time and publishes what happens to them."""

    def __init__(self, environment: Environment, settings: HookSettings, redis_url: str) -> None:
        self._secret: RunSecret | None = None
        self.outcome = RunOutcome(environment)
        self._files = files_of(environment)
        self._environment = environment
        self._process_settings = self._settings = settings
        self._request: RunRequest | None = None
        self._redis_url = redis_url
        self._publisher: EventPublisher | None = None
        self._clock_offset_ms: float | None = None
        self._ended_by: str | None = None
        self._watchers: list[gevent.Greenlet[..., Any]] = []
        self._timers: list[gevent.Greenlet[..., Any]] = []
        self._anchor_ns = 0
        self._resets = ResetWatch(environment.stats)
        self._arrivals: ArrivalMaster | None = None

    def begin(self) -> None:
        """A test starts: give it an id, which travels to the workers with Locust's own options."""
        request, self._request = self._request, None
        # Once for each run: a master may run for weeks, in which its machine's clock is set or its machine sleeps.
        self._anchor_ns, self._clock_offset_ms = time.time_ns() - time.perf_counter_ns(), None
        self._arrivals = None
        self._settings = _with_seed(with_shape(self._environment, self._asked_for(request)))
        self._secret = secret = RunSecret.new(new_run_id())
        self._ended_by, self._resets = None, ResetWatch(self._environment.stats)
        give_secret(self._environment, secret)
        setattr(self._environment.parsed_options, ARRIVALS_OPTION, bool(self._settings.rate))
        setattr(self._environment.parsed_options, SEED_OPTION, self._settings.seed)
        setattr(self._environment.parsed_options, ONLY_RUN_OPTION, is_only_run(self._environment))
        self.outcome.begin(
            only_run=is_only_run(self._environment), code_on_error=request.exit_code_on_error if request else None
        )
        self._publisher = EventPublisher(self._redis_url, secret, self._now_ns, opens=True)
        self._publisher.publish(identity_of(self._environment, self._settings, self._files))
        log.info("run=%s state=started", secret.run)
        self._watchers, self._timers = [gevent.spawn(self._watch), gevent.spawn(self._watch_clock)], []
        if self._settings.rate:
            self._arrivals = self._begin_arrivals(secret.run)
        elif self._settings.run_time is not None:
            self._timers.append(_spawn_later(self._settings.run_time, self._finish))

    def _asked_for(self, request: RunRequest | None) -> HookSettings:
        """The settings of one run: those of the process, replaced by a request, or by the form of Locust's web UI."""
        if request is not None:
            return _with_request(self._process_settings, request)
        settings = self._process_settings
        return replace(settings, rate=rate_given(self._environment.parsed_options, settings))

    def expect(self, request: RunRequest) -> None:
        """Use this request for the next run, and for no other."""
        self._request = request

    def interrupt(self) -> None:
        """A person or a supervisor ends the run early."""
        self._ended_by = self._ended_by or "interrupt"
        if self._publisher is not None:
            self._publisher.publish(Interrupted())

    def signalled(self) -> None:
        """A signal ends the run."""
        self._ended_by = self._ended_by or "signal"

    def ramp_done(self, user_count: int) -> None:
        """All users run. With a load shape this happens after every stage; the first one opens the window.

        Under the open model the window opens when the schedule begins, with users that have come to wait for it.
        """
        if self._publisher is None:
            return
        if self._arrivals is not None:
            self._arrivals.spawned()
            return
        self._publisher.publish(RampDone(users=user_count))
        if self._settings.steady_state is not None and self._settings.run_time is None:
            wait_s = self._settings.warmup + self._settings.steady_state
            self._timers.append(_spawn_later(wait_s, self._finish))

    def take_answer(self, message: Message) -> None:
        """A worker has answered to a plan of arrivals."""
        if self._arrivals is not None:
            self._arrivals.take(ArrivalAnswer.of(message), message.node_id)

    def stopping(self) -> None:
        """Users are being stopped."""
        if self._arrivals is not None:
            self._arrivals.stop()
        if self._publisher is not None:
            self._publisher.publish(Stopping(ended_by=self._ended_by or who_stops(sys._getframe())))  # noqa: SLF001

    def end(self) -> None:
        """All users have stopped and all workers have reported: publish what Locust counted."""
        publisher, self._publisher = self._publisher, None
        if publisher is None:
            return
        gevent.killall(self._watchers)
        if not is_only_run(self._environment):  # where it is, it may have been stopped early, and ends when it is time
            gevent.killall(self._timers)
            publisher.publish(self.outcome.now())
        totals = locust_totals(self._environment, reset=self._resets.happened)
        publisher.publish(totals)
        publisher.finish(_FLUSH_TIMEOUT_S)
        log.info("run=%s state=stopped requests=%d", publisher.run, totals.requests)

    @property
    def run(self) -> str | None:
        """The id of the newest run; None before the first one."""
        return self._secret.run if self._secret else None

    @property
    def is_recording(self) -> bool:
        """Whether a run is open."""
        return self._publisher is not None

    def quit(self, exit_code: object) -> None:
        """The process ends with its run: publish its exit code."""
        if self._secret is not None and is_only_run(self._environment):
            publisher = EventPublisher(self._redis_url, self._secret, self._now_ns, opens=True)
            publisher.publish(self.outcome.at_exit(exit_code))
            publisher.finish(_FLUSH_TIMEOUT_S)

    def _begin_arrivals(self, run: str) -> ArrivalMaster:
        settings, runner = self._settings, self._environment.runner
        if runner is None or settings.seed is None:
            raise TypeError("arrivals need a runner of Locust, and a seed")
        refuse_own_loops(self._environment.user_classes)
        parse_stages(settings.rate)  # a rate that is none is for the master to refuse, and not for each worker
        plan = ArrivalPlan(run=run, rate=settings.rate, spread=Spread(settings.arrivals), seed=settings.seed)
        return ArrivalMaster(
            runner,
            plan,
            self._now_ns,
            lambda: self._clock_offset_ms,
            begins=self._schedule_begins,
            gives_up=self._finish,
            shared=self._publish_share,
        )

    def _schedule_begins(self, users: int) -> None:
        """The first arrivals are due: the window opens, and what is to end the run counts from now."""
        settings = self._settings
        if self._publisher is None:
            return
        self._publisher.publish(RampDone(users=users))
        length_s = settings.run_time
        if length_s is None and settings.steady_state is not None:
            length_s = settings.warmup + settings.steady_state
        if length_s is not None:
            self._timers.append(_spawn_later(length_s, self._finish))

    def _publish_share(self, plan: ArrivalPlan) -> None:
        index_of = getattr(self._environment.runner, "get_worker_index", lambda _: 0)
        if self._publisher is not None and plan.zero_ns is not None:
            workers = tuple(index_of(each) for each in plan.roster)
            share = ArrivalsShared(number=plan.epoch, begins_s=plan.begins_s, zero_ns=plan.zero_ns, workers=workers)
            self._publisher.publish(share)

    def _now_ns(self) -> int:
        return self._anchor_ns + time.perf_counter_ns()

    def _finish(self) -> None:
        planned = "steady state" if self._settings.run_time is None else "run time"
        self._ended_by = self._ended_by or planned
        runner, options = self._environment.runner, self._environment.parsed_options
        if runner is None:
            return
        if options is not None and options.headless:
            gevent.spawn(runner.quit)
        else:
            gevent.spawn(runner.stop)

    def _watch(self) -> None:
        seen = Observer()
        while True:
            runner = self._environment.runner
            if runner is not None and self._publisher is not None:
                self._publish_users(runner)
                seen.compare(runner, self._publisher)
            gevent.sleep(1)

    def _watch_clock(self) -> None:
        while True:
            if self._publisher is not None:
                self._clock_offset_ms = self._publisher.clock_offset_ms()
            gevent.sleep(_CLOCK_EVERY_S)

    def _publish_users(self, runner: Runner) -> None:
        if self._publisher is not None:
            self._publisher.publish(
                Users(
                    users=runner.user_count,
                    target_users=target_users(runner),
                    workers=getattr(runner, "worker_count", 1),
                    clock_offset_ms=self._clock_offset_ms,
                )
            )


def _spawn_later(seconds: float, work: Callable[[], object]) -> gevent.Greenlet[..., Any]:
    """Call ``work`` in so many seconds from now; gevent alone counts from the last turn of its loop."""
    gevent.get_hub().loop.update_now()
    return gevent.spawn_later(seconds, work)


class ResetWatch:
    """Notices when statistics are set to zero: by ``--reset-stats``, by the web page, or by the scenario."""

    def __init__(self, stats: RequestStats) -> None:
        self._stats, self._total, self._set_to_zero = stats, stats.total, False
        reset: Callable[[], None] = self._total.reset

        def noted() -> None:
            self._set_to_zero = True
            reset()

        self._total.reset = noted  # type: ignore[method-assign]

    @property
    def happened(self) -> bool:
        """Whether that has happened since this was made; Locust may also have replaced the totals as a whole."""
        return self._set_to_zero or self._stats.total is not self._total


def locust_totals(environment: Environment, *, reset: bool) -> Stopped:
    """What Locust itself counted; ``reset``: its statistics were set to zero during the run."""
    total, runner = environment.stats.total, environment.runner
    exceptions = sum(each["count"] for each in runner.exceptions.values()) if runner else 0
    return Stopped(requests=total.num_requests, failures=total.num_failures, exceptions=exceptions, reset=reset)


def _with_request(settings: HookSettings, request: RunRequest | None) -> HookSettings:
    """The settings of one run: those of the process, replaced by what the request says."""
    if request is None:
        return settings
    return replace(
        settings,
        run_time=request.run_time,
        steady_state=request.steady_state,
        warmup=request.warmup,
        objective=request.objective,
        seed=request.seed,
        rate=request.rate,
        arrivals=request.arrivals,
        launch=request.launch,
        limits=settings.limits if request.limits is None else request.limits,
        target=settings.target if request.target is None else request.target,
    )


def _with_seed(settings: HookSettings) -> HookSettings:
    """The settings, with a seed where arrivals need one: it is recorded, so they can be computed again."""
    is_needed = settings.rate and settings.seed is None
    return replace(settings, seed=secrets.randbelow(_SEEDS)) if is_needed else settings


def quit_gracefully(runner: Any) -> None:
    """Make ``runner.quit`` stop the test first.

    Locust's master quits without waiting for its workers, so users in flight are cut off and the workers' last
    reports are lost. ``stop`` waits for both. It also forgets the workers that have stopped, so workers on
    other machines would not receive its message to quit and wait a minute for their master; it is sent to them here.
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
