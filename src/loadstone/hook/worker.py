"""What the hook does in a process that runs users: a Locust worker, or a plain Locust process."""

from __future__ import annotations

import logging
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import WorkerRunner
from msgspec.structs import replace

from loadstone.domain.event import Orphaned, WorkerQuit
from loadstone.hook import unreported
from loadstone.hook.aborted import watch_ends
from loadstone.hook.arrival_plan import ArrivalPlan
from loadstone.hook.arrival_worker import ArrivalWorker
from loadstone.hook.ending import who_stops
from loadstone.hook.exception_log import ExceptionLog
from loadstone.hook.identity import ARRIVALS_OPTION, ONLY_RUN_OPTION, SEED_OPTION, take_secret
from loadstone.hook.outcome import RunOutcome
from loadstone.hook.recorder import Recorder
from loadstone.hook.sender import EventPublisher
from loadstone.hook.shipper import Shipper
from loadstone.hook.stats_log import StatsLog
from loadstone.hook.target_clock import TargetClock

if TYPE_CHECKING:
    from pathlib import Path

    from locust.env import Environment
    from locust.rpc.protocol import Message

    from loadstone.domain.arrival_counts import ArrivalCounts
    from loadstone.hook.aborted import UserEnd
    from loadstone.stream.proof import RunSecret

__all__ = ["WorkerHook", "touch_heartbeat_file"]

_FLUSH_TIMEOUT_S: Final = 10.0
_EXCEPTIONS_EVERY_S: Final = 2.0
_LOOK_EVERY_S: Final = 1.0
_ORPHANED_AFTER_LOOKS: Final = 7
"""The master answers a heartbeat every second. A worker has to stop within ten seconds of its loss (design.md, "When
things fail"): seven missed heartbeats leave three seconds for stopping users."""
_ORPHAN_EXIT_CODE: Final = 3
_TOUCH_EVERY_S: Final = 2.0
_HEARD_WITHIN_S: Final = 7.0
_LOCAL_ID: Final = "local"
"""What Locust calls the sender of messages within a process without workers."""
log = logging.getLogger("loadstone.worker")


class WorkerHook:
    """Records one run after another in this process."""

    def __init__(self, environment: Environment, redis_url: str) -> None:
        self.outcome = RunOutcome(environment)
        self._environment = environment
        self._redis_url = redis_url
        self._stats_log = StatsLog(environment)
        self._recorder: Recorder | None = None
        self._secret: RunSecret | None = None
        self._shipper: Shipper | None = None
        self._arrivals: ArrivalWorker | None = None
        self._orphaned = False
        self._publisher: EventPublisher | None = None
        self._exceptions = ExceptionLog()
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def begin(self) -> None:
        """A test starts: record a new incarnation. Must run before any listener of the scenario's own."""
        secret = take_secret(self._environment)
        if secret is None:
            log.error("run=none recording=no cause='the Locust master has no loadstone hook, or an older one'")
            return
        if self._shipper is not None:
            self.end()
        self._secret, self._recorder = secret, self._begin_arrivals(secret.run)
        self.outcome.begin(only_run=self._is_only_run())
        self._seed()
        target_clock = TargetClock(self._environment.events.request, self._recorder.now_ns)
        worker = self._worker_index()
        self._shipper = Shipper(
            self._recorder, self._redis_url, secret, worker, self._user_count, target_clock, self._arrival_counts
        )
        self._publisher = EventPublisher(self._redis_url, secret, self._recorder.now_ns)
        self._stats_log.start(self._recorder)
        self._greenlets = [gevent.spawn(self._publish_exceptions_forever)]
        if isinstance(self._environment.runner, WorkerRunner):
            self._greenlets.append(gevent.spawn(self._watch_master, self._environment.runner))

    def stopping(self) -> None:
        """Users are being stopped; meanwhile a worker does not receive heartbeats."""
        runner = self._environment.runner
        by_scenario = isinstance(runner, WorkerRunner) and who_stops(sys._getframe()) == "scenario"  # noqa: SLF001
        if by_scenario and self._publisher is not None:
            self._publisher.publish(WorkerQuit(worker=self._worker_index()))
        if self._arrivals is not None:
            self._arrivals.stop()
        gevent.killall(self._greenlets)

    def end(self) -> None:
        """All users have stopped: ship the rest. Must run after any listener of the scenario's own."""
        if self._shipper is None or self._recorder is None or self._publisher is None:
            return
        gevent.killall(self._greenlets)
        if self._arrivals is not None:
            self._arrivals.end()
        self._stats_log.stop()
        shipper, publisher, self._shipper = self._shipper, self._publisher, None
        self._publish_exceptions(publisher)
        if not self._is_only_run():
            self._publish_exit(publisher)
        shipper.finish(_FLUSH_TIMEOUT_S)
        publisher.finish(_FLUSH_TIMEOUT_S)
        self._report_to_master()

    def take_plan(self, message: Message) -> None:
        """The master has sent a plan of arrivals."""
        if self._arrivals is not None:
            self._arrivals.take(ArrivalPlan.of(message))

    @property
    def is_recording(self) -> bool:
        """Whether a run is open."""
        return self._shipper is not None

    def quit(self, _exit_code: object) -> None:
        """The process ends with its run: publish its exit code. A process without workers leaves that to the master.

        Locust's own code also stands for requests that failed here and are not yet reported, which the master judges.
        """
        if self._secret is not None and self._recorder is not None and self._is_only_run():
            publisher = EventPublisher(self._redis_url, self._secret, self._recorder.now_ns)
            self._publish_exit(publisher)
            publisher.finish(_FLUSH_TIMEOUT_S)

    def watch_users(self) -> None:
        """Describe the requests that are cut off when users are killed, and count users that end by themselves.

        Requests that are sent and reported to nobody are counted from now on.
        """
        unreported.install()
        watch_ends(self._environment.user_classes, self._note_end)

    def user_error(self, exception: BaseException, tb: Any) -> None:
        """A task raised an exception: count it with equal ones, as Locust does."""
        if self._shipper is not None and self._recorder is not None:
            self._exceptions.add(exception, tb, self._recorder.now_ns())

    def _begin_arrivals(self, run: str) -> Recorder:
        """Begin what the model of the run needs; the recorder that fits to it."""
        if not getattr(self._environment.parsed_options, ARRIVALS_OPTION, False):
            self._arrivals = None
            return Recorder()
        runner = self._environment.runner
        own_id = runner.client_id if isinstance(runner, WorkerRunner) else _LOCAL_ID
        self._arrivals = ArrivalWorker(self._environment, run, own_id, self._now_ns, self._clock_offset_ms)
        return Recorder(self._arrivals.users.lateness_us)

    def _arrival_counts(self) -> ArrivalCounts | None:
        return self._arrivals.counts if self._arrivals else None

    def _now_ns(self) -> int:
        return self._recorder.now_ns() if self._recorder else time.time_ns()

    def _clock_offset_ms(self) -> float | None:
        return self._shipper.clock_offset_ms if self._shipper else None

    def _is_only_run(self) -> bool:
        return bool(getattr(self._environment.parsed_options, ONLY_RUN_OPTION, False))

    def _publish_exit(self, publisher: EventPublisher) -> None:
        """Publish the exit code if the scenario has caused it."""
        exited = self.outcome.now()
        if isinstance(self._environment.runner, WorkerRunner) and exited.code and not self._orphaned:
            publisher.publish(replace(exited, worker=self._worker_index()))

    def _worker_index(self) -> int:
        runner = self._environment.runner
        return runner.worker_index if isinstance(runner, WorkerRunner) else 0

    def _user_count(self) -> int:
        runner = self._environment.runner
        return runner.user_count if runner else 0

    def _seed(self) -> None:
        seed = getattr(self._environment.parsed_options, SEED_OPTION, None)
        if seed is not None:
            random.seed(f"{seed}:{self._worker_index()}")

    def _note_end(self, end: UserEnd) -> None:
        if self._shipper is not None:
            self._shipper.note_end(end)

    def _report_to_master(self) -> None:
        """Locust reports every three seconds; without this its totals could miss the last ones."""
        runner = self._environment.runner
        if isinstance(runner, WorkerRunner):
            runner._send_stats()  # noqa: SLF001  (Locust has no public way to report now)

    def _publish_exceptions_forever(self) -> None:
        while True:
            gevent.sleep(_EXCEPTIONS_EVERY_S)
            if self._publisher is not None:
                self._publish_exceptions(self._publisher)

    def _publish_exceptions(self, publisher: EventPublisher) -> None:
        node = getattr(self._environment.runner, "client_id", "local")
        now_ns = self._recorder.now_ns() if self._recorder else 0
        for raised in self._exceptions.take(now_ns, node=node, worker=self._worker_index()):
            publisher.publish(raised)

    def _watch_master(self, runner: WorkerRunner) -> None:
        """Counts missed heartbeats instead of seconds: a clock may be set, and this process may have been suspended."""
        heard, missed = runner.last_heartbeat_timestamp, 0
        while missed < _ORPHANED_AFTER_LOOKS:
            gevent.sleep(_LOOK_EVERY_S)
            before, heard = heard, runner.last_heartbeat_timestamp
            missed = missed + 1 if heard is not None and heard == before else 0
        gevent.spawn(self._leave_as_orphan, runner)

    def _leave_as_orphan(self, runner: WorkerRunner) -> None:
        log.error("worker=%d state=orphaned action='stop users and exit'", self._worker_index())
        if self._publisher is not None:
            self._publisher.publish(Orphaned(worker=self._worker_index()))
        self._orphaned = True
        self._environment.stop_timeout = 0
        self._environment.process_exit_code = _ORPHAN_EXIT_CODE
        runner.quit()


def touch_heartbeat_file(runner: WorkerRunner, file: Path) -> None:
    """Keep touching the file while the master answers; a health check looks at its age."""
    while True:
        heard = runner.last_heartbeat_timestamp
        if heard and time.time() - heard < _HEARD_WITHIN_S:
            try:
                file.touch()
            except OSError as error:
                log.error("heartbeat_file=%s error=%r", file, str(error))  # noqa: TRY400  (the traceback adds nothing)
        gevent.sleep(_TOUCH_EVERY_S)
