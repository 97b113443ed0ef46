"""One run on this machine, from the first check to the verdict."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import load_run
from loadstone.archive.folder import RunFolder
from loadstone.collector.live.snapshot import read_live
from loadstone.domain.event import Event, Interrupted, Restarted, TargetExited, encode_event
from loadstone.errors import PlatformError
from loadstone.influx.feed import is_drained
from loadstone.stream.client import FAILURES, add, connect
from loadstone.stream.consumer import is_finished
from loadstone.stream.keys import AGGREGATORS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.event import Payload
    from loadstone.domain.live import LiveSnapshot
    from loadstone.launch.local import LocalStack
    from loadstone.launch.managed_process import ManagedProcess
    from loadstone.report.live_view import View

__all__ = ["RunSupervisor"]

_LOOK_EVERY_S: Final = 0.25
_CLOSES_WITHIN_S: Final = 900.0
"""A hundred million requests take about four minutes to close; an Aggregator that keeps falling is told at once."""
_PATIENCE: Final = 2
"""Requests to stop after which even the archive is not waited for."""
_RUN_SHOWS_WITHIN_S: Final = 10.0


class RunSupervisor:
    """Watches over a started stack: restarts what may fall, ends the run when it has to, and waits for its archive."""

    def __init__(self, stack: LocalStack, view: View, stop_requests: Callable[[], int]) -> None:
        self._stack = stack
        self._view = view
        self._stop_requests = stop_requests
        self._client = connect(stack.redis_url, timeout_s=2)
        self._source, self._seq = uuid.uuid4().hex, 0
        self._unsaid: deque[tuple[Payload, int]] = deque()
        self._ended_by: str | None = None  # the field of a live snapshot that says so
        self.live: LiveSnapshot | None = None

    def conduct(self) -> RunFolder | None:
        """Watch until the run is archived. Its folder, None when it was interrupted before it began.

        Raises `PlatformError` when it cannot come to that.
        """
        while self._master_runs():
            self._look()
            self._end_if_due()
            time.sleep(_LOOK_EVERY_S)
        if self._run_began():
            folder = self._await_archive()
            self._await_influx(folder)
            return folder
        if self._ended_by == "interrupted":
            return None
        raise self._not_archived()

    def serve(self) -> None:
        """Watch until asked to stop; runs come and go (``loadstone up``)."""
        while self._master_runs() and not self._stop_requests():
            self._look()
            if self._target_fell():
                self._view.note(f"the target ended (exit {self._exit_code(self._stack.target)})")
                self._say(TargetExited(code=self._exit_code(self._stack.target)))
                break
            time.sleep(_LOOK_EVERY_S)
        self._finish_open_run()

    def _finish_open_run(self) -> None:
        self._stop_master()
        while self._master_runs():
            time.sleep(_LOOK_EVERY_S)
        if self._run_began():
            self._await_influx(self._await_archive())

    def _master_runs(self) -> bool:
        return self._stack.master is not None and self._stack.master.alive

    def _look(self, *, restart_workers: bool = True) -> None:
        for part in self._stack.restart_fallen(workers=restart_workers):
            self._view.note(f"{part.name} ended by itself and was started again")
            self._say(Restarted(part=part.name))
        try:
            self.live = read_live(self._client, self._stack.launch) or self.live
        except FAILURES:
            return  # Redis is being restarted; the next look will tell
        if self.live:
            self._say_what_waits(self.live.run)
            self._view.show(self.live, self._ends_in_s(self.live))

    def _ends_in_s(self, live: LiveSnapshot) -> float | None:
        settings = self._stack.settings
        steady_s = None if settings.steady_state is None else settings.warmup + settings.steady_state
        return live.left_s(self._stack.run_time(), steady_s)

    def _end_if_due(self) -> None:
        if self._target_fell() and self._ended_by is None:
            self._ended_by = "target_exited"
            self._view.note("the target ended; the run is stopped")
            self._say(TargetExited(code=self._exit_code(self._stack.target)))
            self._stop_master()
        if self._stop_requests() and self._ended_by is None:
            self._ended_by = "interrupted"
            self._view.note("stopping: requests in flight may finish (once more to stop at once)")
            self._say(Interrupted())
            self._stop_master()
        if self._stop_requests() > 1 and self._stack.master:
            self._stack.master.stop()

    def _stop_master(self) -> None:
        if self._stack.master:
            self._stack.master.terminate()

    def _target_fell(self) -> bool:
        return self._stack.target is not None and not self._stack.target.alive

    def _await_archive(self) -> RunFolder:
        """The Aggregator closes a run soon after its end; a run whose master was lost takes half a minute longer."""
        begun = time.monotonic()
        while time.monotonic() - begun < _CLOSES_WITHIN_S and self._stop_requests() <= _PATIENCE:
            self._look(restart_workers=False)
            if self.live and self.live.closed and self._archive_knows(self.live):
                return RunFolder(self._stack.settings.results / self.live.run)
            time.sleep(_LOOK_EVERY_S)
        raise self._not_archived()

    def _run_began(self) -> bool:
        """Whether the master, which has ended, began a run: known when all that it said has been taken in."""
        begun, taken = time.monotonic(), False
        while not taken and time.monotonic() - begun < _RUN_SHOWS_WITHIN_S:
            taken = self._all_events_taken()
            time.sleep(_LOOK_EVERY_S)  # what was taken in is published within this time
            self._look(restart_workers=False)
        return self.live is not None

    def _all_events_taken(self) -> bool:
        try:
            return is_finished(self._client, EVENTS, AGGREGATORS)
        except FAILURES:
            return False

    def _not_archived(self) -> PlatformError:
        master = self._stack.master
        said = master.tail() if master else ""
        return PlatformError(f"the run was not archived (master: exit {self._exit_code(master)}): {said}")

    def _archive_knows(self, live: LiveSnapshot) -> bool:
        """Whether the run was closed with what ended it; if not, it is about to be closed again."""
        return not self._unsaid and (self._ended_by is None or getattr(live, self._ended_by))

    def _await_influx(self, folder: RunFolder) -> None:
        """Give InfluxDB time to get everything; what it does not have then is in the archive and is told."""
        settings = self._stack.settings
        if settings.influx_url is None:
            return
        deadline = time.monotonic() + settings.influx_drain
        while time.monotonic() < deadline and self._stop_requests() <= 1:
            self._stack.restart_fallen(workers=False)
            with contextlib.suppress(*FAILURES):
                if is_drained(self._client, folder.run):
                    return
            time.sleep(_LOOK_EVERY_S)
        pending = load_run(folder)["ledgers"].get("influx", {}).get("pending", "all")
        command = f"loadstone influx backfill {folder.run} --results {settings.results}"
        self._view.note(f"InfluxDB at {settings.influx_url} lacks {pending} requests of this run: {command}")

    def _say(self, payload: Payload) -> None:
        """Have an event recorded: now, or as soon as the run is known and the stream takes it."""
        self._unsaid.append((payload, time.time_ns()))
        if self.live:
            self._say_what_waits(self.live.run)

    def _say_what_waits(self, run: str) -> None:
        while self._unsaid:
            payload, at_ns = self._unsaid[0]
            event = Event(run=run, at_ns=at_ns, source=self._source, seq=self._seq, payload=payload)
            try:
                add(self._client, EVENTS, encode_event(event), run=run)
            except FAILURES:
                return  # it is tried again with the next look; what came twice counts once
            self._unsaid.popleft()
            self._seq += 1

    @staticmethod
    def _exit_code(part: ManagedProcess | None) -> int | None:
        return part.exit_code if part else None
