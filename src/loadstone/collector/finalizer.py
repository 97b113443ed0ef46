"""Finalizer: closes one run in a separate process, so that the Aggregator keeps reading the other runs.

Closing a run of many millions of requests takes minutes of CPU. A thread would keep the other runs up to date as well
(figures in docs/decisions/finalizer.md), but a process can run at a lower priority than the workers on
its machine. It also frees its memory when it ends, can be killed at any moment, and does not take the Aggregator down
when it runs out of memory.

Two finalizers never close the same run at once: each holds the lease `finalizer_lease` and the lock of the run
folder while it works. The Aggregator releases the lock before it starts one. Closing is a pure function of the
journal, so a finalizer that is restarted after a crash produces the same files. A finalizer ends at once when the
process that started it ends, and the next Aggregator starts another.

The report is made last, and a run is whole without it. A finalizer that dies of it, as one that needs too much memory
may, has said before that the run is closed, and is not started again.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.charts.page import write_report
from loadstone.domain.masking import keep_secrets
from loadstone.errors import LoadstoneError, StreamError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.settings import MaskSettings, load
from loadstone.stream.client import FAILURES, connect
from loadstone.stream.keys import finalizer_lease, lease_number
from loadstone.stream.lease import Lease

if TYPE_CHECKING:
    from loadstone.domain.time import Clock

__all__ = ["Finalizer", "FinalizerOrder"]

_LEASE_LIFE_MS: Final = 5000
_LEASE_WITHIN_S: Final = 2 * _LEASE_LIFE_MS / 1000
"""The lease of a killed finalizer expires sooner; a lease that is held for longer belongs to a live finalizer."""
_LOOK_EVERY_S: Final = 0.2
_NUMBER_KEPT_S: Final = 600
_NICENESS: Final = 5
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LONGEST_ERROR: Final = 2000
_AT_IT_AFTER_S: Final = 5.0
log = logging.getLogger("loadstone.finalizer")


class FinalizerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order to close the run in ``path`` as of ``closed_at_ns``, with the lease held as ``holder``."""

    redis_url: str
    path: str
    closed_at_ns: int
    holder: str


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result: both texts are empty if the run is closed and has its report.

    A process says twice that the run is closed: before it makes the report, and after that.
    """

    error: str = ""
    report_error: str = ""
    has_report: bool = False


class Finalizer:
    """The Aggregator's handle on closing one run: starts the process, and restarts it after a pause if it failed."""

    def __init__(self, order: FinalizerOrder, clock: Clock) -> None:
        self._order = order
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._due_s = clock.monotonic_s()
        self._closed = False
        self._error = ""
        self._started_s = 0.0
        self.failed_ns = 0
        """Since when it fails, wall clock."""

    @property
    def error(self) -> str:
        """Why the last try failed; empty if none did, and once the next one got further than a full disk lets it."""
        is_at_it = self._process is not None and self._clock.monotonic_s() - self._started_s >= _AT_IT_AFTER_S
        return "" if is_at_it else self._error

    @property
    def pid(self) -> int | None:
        """Id of the running process, None during a pause."""
        return self._process.pid if self._process else None

    def poll(self) -> bool:
        """Whether the run is closed. Does not block; call it repeatedly."""
        if self._closed:
            return True
        if self._process is None:
            if self._clock.monotonic_s() >= self._due_s:
                self._start()
        elif self._process.poll() is not None:
            self._note(self._end())
        return self._closed

    def stop(self) -> None:
        """Kill the process, if there is one; the next finalizer starts over."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _start(self) -> None:
        self._started_s = self._clock.monotonic_s()
        command = [sys.executable, "-P", "-m", __spec__.name]  # -P: no module of the current folder
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            self._note(_Outcome(error=f"the finalizer could not be started: {error}"))
            return
        with suppress(BrokenPipeError):  # it has ended already: the next poll reports its exit code
            if self._process.stdin is not None:  # stays open: its end tells the finalizer that this process ended
                self._process.stdin.write(msgspec.json.encode(self._order) + b"\n")
                self._process.stdin.flush()

    def _end(self) -> _Outcome:
        process, self._process = self._process, None
        if process is None:
            raise RuntimeError("no finalizer is running")
        answer = process.stdout.read() if process.stdout else b""
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        return _outcome(answer, process.wait())

    def _note(self, outcome: _Outcome) -> None:
        folder = RunFolder(Path(self._order.path))
        run = folder.run
        if outcome.report_error:
            log.error("run=%s report=no error=%r hint=%r", run, outcome.report_error, folder.command("report"))
        if not outcome.error:
            self._closed, self._error = True, ""
            return
        self.failed_ns = self.failed_ns or self._clock.now_ns()
        self._error = outcome.error
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        self._failures += 1
        self._due_s = self._clock.monotonic_s() + pause_s
        log.error("run=%s state=not_closed error=%r retry_in_s=%g nothing_lost=yes", run, outcome.error, pause_s)


def _outcome(answer: bytes, code: int) -> _Outcome:
    """What a process that ended has said last."""
    said = []
    with suppress(msgspec.DecodeError):  # it was killed while it said so
        for line in answer.splitlines():
            said.append(msgspec.json.decode(line, type=_Outcome))  # noqa: PERF401  (what came before stays)
    if not said:
        return _Outcome(error=f"the finalizer ended with exit code {code}")
    last = said[-1]
    if last.error or last.report_error or last.has_report:
        return last
    return _Outcome(report_error=f"the finalizer ended with exit code {code} while it made the report")


def main() -> None:
    """Entry point of the process: read the order from stdin, carry it out, and write outcomes to stdout, in lines."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=FinalizerOrder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(_NICENESS)
    if not load(MaskSettings).masking:
        keep_secrets()
    _say(_carry_out(order))


def _say(outcome: _Outcome) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more is ever sent: this returns when the parent has closed it or ended
    os._exit(1)


def _carry_out(order: FinalizerOrder) -> _Outcome:
    folder, client = RunFolder(Path(order.path)), connect(order.redis_url)
    lease = Lease(client, finalizer_lease(folder.run), order.holder, life_ms=_LEASE_LIFE_MS)
    try:
        _acquire(lease, folder.run)
        with lease.kept(), folder.lock():
            close_run(folder, now_ns=order.closed_at_ns)
            _say(_Outcome())
            report_error = _write_report(folder)
        lease.release()
        client.expire(lease_number(finalizer_lease(folder.run)), _NUMBER_KEPT_S)
    except (LoadstoneError, *FAILURES) as error:
        return _Outcome(error=str(error)[:_LONGEST_ERROR])
    finally:
        client.close()
    return _Outcome(report_error=report_error, has_report=not report_error)


def _acquire(lease: Lease, run: str) -> None:
    deadline_s = SYSTEM_CLOCK.monotonic_s() + _LEASE_WITHIN_S
    while not lease.take():
        if SYSTEM_CLOCK.monotonic_s() >= deadline_s:
            raise StreamError(f"another finalizer is closing run {run}")
        time.sleep(_LOOK_EVERY_S)


def _write_report(folder: RunFolder) -> str:
    """Write report.html and return the error, if any. A run is complete without it; `loadstone report` writes it."""
    try:
        write_report(folder)
    except (LoadstoneError, OSError, ValueError, KeyError) as error:
        return repr(error)[:_LONGEST_ERROR]
    return ""


if __name__ == "__main__":
    main()
