"""RunSupervisor: watch one run on this machine from its start until it is archived."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.domain.event import Event, Exited, Interrupted, Restarted, TargetExited
from loadstone.domain.live import KEEP_FROM_CLOSING, Trouble
from loadstone.domain.masking import mask_secrets
from loadstone.domain.time import NS_PER_S
from loadstone.errors import NoRunError, PlatformError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.launch.run_channel import RedisChannel
from loadstone.stream.client import FAILURES, connect, what_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.event import Payload
    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock
    from loadstone.launch.local import LocalStack
    from loadstone.launch.managed_process import ManagedProcess
    from loadstone.launch.run_channel import RunChannel
    from loadstone.report.live_view import View

__all__ = ["RunSupervisor"]

_LOOK_EVERY_S: Final = 0.25
_CLOSES_WITHIN_S: Final = 900.0
"""A hundred million requests take about four minutes to close; an Aggregator that keeps crashing ends this wait."""
_MOST_STOP_REQUESTS: Final = 2
"""After more stop requests than this the supervisor does not even wait for the archive."""
_EXTERNAL: Final = (
    "The Redis given keeps it: `loadstone collector` with the same --redis-url and --results archives it once it can"
)
_RUN_SHOWS_WITHIN_S: Final = 10.0
_WORKERS_END_WITHIN_S: Final = 5.0
_REFUSED_FOR_S: Final = 10.0
"""How long a run that has ended waits for a disk that takes nothing; what it refused is kept."""
_TELLS_AFTER_S: Final = 2.0
"""InfluxDB usually has everything sooner after the end of a run, and then nothing is told."""
_AWAY_FOR_NS: Final = 5 * NS_PER_S
"""A stream server that crashed has been started again within this time."""
_ENDED_NS: Final = 2 * NS_PER_S
"""A worker that has ended for longer while no end of the run shows has crashed, and is restarted."""


class _Pending(NamedTuple):
    """An event that has not been published yet."""

    payload: Payload
    at_ns: int


class _EventQueue:
    """The supervisor's events, in order; one waits here until the run is known and Redis accepts it."""

    def __init__(self, channel: RunChannel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._source, self._seq = uuid.uuid4().hex, 0
        self._pending: deque[_Pending] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._pending

    def add(self, payload: Payload) -> None:
        self._pending.append(_Pending(payload, self._clock.now_ns()))

    def publish(self, run: str) -> None:
        while self._pending:
            payload, at_ns = self._pending[0]
            event = Event(run=run, at_ns=at_ns, source=self._source, seq=self._seq, payload=payload)
            try:
                self._channel.publish(event)
            except FAILURES:
                return  # the next look tries again; an event that arrives twice counts once
            self._pending.popleft()
            self._seq += 1


class RunSupervisor:
    """Supervises a started stack: restarts what crashes, ends the run when it must, and waits for its archive."""

    def __init__(
        self,
        stack: LocalStack,
        view: View,
        stop_requests: Callable[[], int],
        *,
        channel: RunChannel | None = None,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stack = stack
        self._view = view
        self._stop_requests = stop_requests
        self._channel = channel or RedisChannel(connect(stack.redis_url, timeout_s=2))
        self._clock = clock
        self._sleep = sleep
        self._events = _EventQueue(self._channel, clock)
        self._worker_ended_ns: int | None = None
        self._ended_by: str | None = None  # the field of the live snapshot that records why the run ended early
        self._exit_published = False
        self._stream_trouble: Trouble | None = None
        self._refused_s: float | None = None
        self._keeps_from_closing = ""
        self.live: LiveSnapshot | None = None

    def conduct(self) -> RunFolder | None:
        """Supervise one run until it is archived. Its folder, or None when it was interrupted before it began.

        Raises `NoRunError` when the scenario did not begin one, `PlatformError` when the run cannot be archived.
        """
        while self._master_runs():
            self._look()
            self._end_if_due()
            self._sleep(_LOOK_EVERY_S)
        if self._run_began():
            self._publish_exit()
            folder = self._await_archive()
            self._await_influx(folder)
            return folder
        if self._ended_by == "interrupted":
            return None
        if reason := self._start_refused():
            raise PlatformError(f"the run cannot be judged, because the event that starts it was refused: {reason}")
        if self._exit_code(self._stack.master) == 0:
            raise NoRunError(
                "Locust ended in order (exit code 0) before any user was started, so there is nothing to judge",
                hint="A load shape whose first tick() returns None does that",
            )
        raise self._not_archived()

    def serve(self) -> None:
        """Supervise until asked to stop, through any number of runs (``loadstone up``).

        Raises `PlatformError` when Locust's master ends by itself; the run that was open is archived first.
        """
        target_exited = False
        while self._master_runs() and not self._stop_requests():
            self._look()
            if target_exited := self._target_exited():
                self._view.note(f"the target exited (exit {self._exit_code(self._stack.target)})")
                self._publish(TargetExited(code=self._exit_code(self._stack.target)))
                break
            self._sleep(_LOOK_EVERY_S)
        lost_master = not (self._master_runs() or self._stop_requests() or target_exited)
        self._finish_open_run()
        if lost_master:
            master = self._stack.master
            log = master.tail() if master else ""
            raise PlatformError(f"Locust's master ended by itself (exit {self._exit_code(master)}): {log}")

    def _finish_open_run(self) -> None:
        self._stop_master()
        while self._master_runs():
            self._sleep(_LOOK_EVERY_S)
        if self._run_began():
            self._await_influx(self._await_archive())

    def _master_runs(self) -> bool:
        return self._stack.master is not None and self._stack.master.alive

    def _publish_exit(self) -> None:
        """Publish the master's exit code, after what workers of this machine say about theirs at their end.

        A worker that has stopped its users would not hear its master before the stop timeout is over: it is told here.
        """
        code = self._exit_code(self._stack.master)
        if code is None or code < 0:
            self._publish(Exited(observed=True))
        else:
            self._end_workers()
            self._publish(Exited(code=code, observed=True))
        self._exit_published = True

    def _end_workers(self) -> None:
        for worker in self._stack.workers:
            worker.terminate()
        begun_s = self._clock.monotonic_s()
        while any(worker.alive for worker in self._stack.workers) and self._stop_requests() <= 1:
            if self._clock.monotonic_s() - begun_s >= _WORKERS_END_WITHIN_S:
                break
            self._sleep(_LOOK_EVERY_S)

    def _workers_crashed(self) -> bool:
        """Whether a worker has ended that should run; at the end of a run workers may end before their master."""
        ending = self.live is not None and self.live.stopping_ns is not None and not self._stack.interactive
        if ending or not any(worker.exit_code for worker in self._stack.workers):
            self._worker_ended_ns = None
            return False
        now_ns = self._clock.now_ns()
        self._worker_ended_ns = self._worker_ended_ns or now_ns
        return now_ns - self._worker_ended_ns >= _ENDED_NS

    def _look(self, *, restart_workers: bool = True) -> None:
        for process in self._stack.restart_crashed(workers=restart_workers and self._workers_crashed()):
            self._view.note(f"{process.name} crashed and was restarted")
            self._publish(Restarted(part=process.name))
        try:
            self.live = self._channel.read_live(self._stack.launch) or self.live
            self._note_stream(self._channel.refusal())
        except FAILURES as error:
            self._note_stream(what_failed(error), tolerated_ns=_AWAY_FOR_NS)
            return  # Redis is being restarted; the next look reads it
        if self.live:
            self._stack.logs.note_run(self.live.run)
            self._events.publish(self.live.run)
            self._view.show(self.live, self._ends_in_s(self.live))

    def _note_stream(self, text: str, tolerated_ns: int = 0) -> None:
        """Take in what the stream server says of itself, and show what is in trouble, which may be nothing."""
        now_ns, known = self._clock.now_ns(), self._stream_trouble
        since_ns = known.since_ns if known else now_ns
        self._stream_trouble = Trouble(part="stream", text=text, since_ns=since_ns) if text else None
        troubles = list(self.live.troubles) if self.live else []
        if self._stream_trouble and now_ns - since_ns >= tolerated_ns:
            troubles.append(self._stream_trouble)
        self._view.warn(troubles)
        keeping = [trouble for trouble in troubles if trouble.part in KEEP_FROM_CLOSING]
        self._keeps_from_closing = keeping[0].text if keeping else ""
        if not keeping:
            self._refused_s = None
        elif self._refused_s is None:
            self._refused_s = self._clock.monotonic_s()

    def _ends_in_s(self, live: LiveSnapshot) -> float | None:
        return live.left_s(self._stack.run_time(), self._stack.settings.steady_after_ramp)

    def _end_if_due(self) -> None:
        if self._target_exited() and self._ended_by is None:
            self._ended_by = "target_exited"
            self._view.note("the target exited; stopping the run")
            self._publish(TargetExited(code=self._exit_code(self._stack.target)))
            self._stop_master()
        if self._stop_requests() and self._ended_by is None:
            self._ended_by = "interrupted"
            self._view.note("stopping: requests in flight may finish (press Ctrl-C again to stop at once)")
            self._publish(Interrupted())
            self._stop_master()
        if self._stop_requests() > 1 and self._stack.master:
            self._stack.master.stop()

    def _stop_master(self) -> None:
        if self._stack.master:
            self._stack.master.terminate()

    def _target_exited(self) -> bool:
        return self._stack.target is not None and not self._stack.target.alive

    def _await_archive(self) -> RunFolder:
        """Wait until the Aggregator has closed the run, which takes half a minute longer when the master was lost.

        Earlier runs of ``loadstone up`` are awaited too: several can be closing at once.
        """
        begun_s = self._clock.monotonic_s()
        while self._clock.monotonic_s() - begun_s < _CLOSES_WITHIN_S and self._stop_requests() <= _MOST_STOP_REQUESTS:
            self._look(restart_workers=False)
            if self._refused_s is not None and self._waits_since(begun_s, self._refused_s) >= _REFUSED_FOR_S:
                break
            if self.live and self.live.closed and self._archive_is_complete(self.live) and self._all_closed():
                return RunFolder(self._stack.settings.results / self.live.run)
            self._sleep(_LOOK_EVERY_S)
        raise self._not_archived()

    def _waits_since(self, *moments_s: float) -> float:
        return self._clock.monotonic_s() - max(moments_s)

    def _run_began(self) -> bool:
        """Whether the master, which has exited, began a run: known once the Aggregator has read all its events."""
        begun_s, all_read = self._clock.monotonic_s(), False
        while not all_read and self._clock.monotonic_s() - begun_s < _RUN_SHOWS_WITHIN_S:
            all_read = self._all_events_read()
            self._sleep(_LOOK_EVERY_S)  # the Aggregator publishes what it has read within this time
            self._look(restart_workers=False)
            if self.live and self._keeps_from_closing:
                break
        return self.live is not None

    def _start_refused(self) -> str:
        with contextlib.suppress(*FAILURES):
            return self._channel.start_refused(self._stack.launch)
        return ""

    def _all_events_read(self) -> bool:
        try:
            return self._channel.all_events_read()
        except FAILURES:
            return False

    def _not_archived(self) -> PlatformError:
        if self.live and self._keeps_from_closing:
            hint = _EXTERNAL if self._stack.settings.redis_url else ""
            return PlatformError(f"run {self.live.run} is not archived: {self._keeps_from_closing}", hint=hint)
        master = self._stack.master
        log = master.tail() if master else ""
        return PlatformError(f"the run was not archived (master: exit {self._exit_code(master)}): {log}")

    def _archive_is_complete(self, live: LiveSnapshot) -> bool:
        """Whether the closed run includes the reason why it ended; if not, it is about to be closed again."""
        if self._exit_published and not live.exited:
            return False
        return self._events.is_empty and (self._ended_by is None or bool(getattr(live, self._ended_by)))

    def _all_closed(self) -> bool:
        try:
            return self._channel.all_closed(self._stack.launch)
        except FAILURES:
            return False

    def _await_influx(self, folder: RunFolder) -> None:
        """Give InfluxDB time to receive everything; report what it still lacks, all of which is in the archive."""
        settings = self._stack.settings
        if settings.influx_url is None:
            return
        begun_s, is_noted = self._clock.monotonic_s(), False
        deadline_s = begun_s + settings.influx_drain
        while self._clock.monotonic_s() < deadline_s and self._stop_requests() <= 1:
            self._stack.restart_crashed(workers=False)
            with contextlib.suppress(*FAILURES):
                if self._channel.points_drained(folder.run):
                    return
            if not is_noted and self._waits_since(begun_s) >= _TELLS_AFTER_S:
                self._view.note("waiting until InfluxDB has everything of this run")
                is_noted = True
            self._sleep(_LOOK_EVERY_S)
        ledger = ClosedRun.open(folder).record.ledgers.influx
        pending = ledger.pending if ledger else "all"
        reason = f" ({ledger.pending_reason})" if ledger and ledger.pending_reason else ""
        command = folder.command("influx backfill", "--influx-url", settings.influx_url)
        told = f"InfluxDB at {settings.influx_url} lacks {pending} requests of this run{reason}: {command}"
        self._view.note(mask_secrets(told))

    def _publish(self, payload: Payload) -> None:
        """Publish an event now, or as soon as the run is known and Redis accepts it."""
        self._events.add(payload)
        if self.live:
            self._events.publish(self.live.run)

    @staticmethod
    def _exit_code(process: ManagedProcess | None) -> int | None:
        return process.exit_code if process else None
