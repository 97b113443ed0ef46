"""External programs under the control of a test: start, stop, kill and start again on the same address."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
LOG_TAIL_CHARS = 2000
LOWEST_PORT = 10_240
EPHEMERAL_FROM = 32_768  # the kernel gives ports from here to outgoing connections: net.ipv4.ip_local_port_range
RESERVATIONS = Path(tempfile.gettempdir()) / f"loadstone-test-ports-{os.getuid()}"
PR_SET_PDEATHSIG = 1  # prctl(2)

_reserved: list[IO[str]] = []
"""Open files of reserved ports; the lock lasts as long as they are open."""


class ServerDiedError(RuntimeError):
    """A server ended, or did not answer in time, while a test was starting it; carries the end of its log."""


def free_port() -> int:
    """Return a loopback port that nothing uses, for a program that cannot choose one and say which.

    It is reserved for this process until it ends, so no other test process gets it, and it is outside of the range
    from which the kernel serves outgoing connections and programs that ask for any port.
    """
    RESERVATIONS.mkdir(exist_ok=True)
    for _ in range(200):
        port = random.randrange(LOWEST_PORT, EPHEMERAL_FROM)
        if not _reserve(port):
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))  # at no address of this machine
            return port
    raise RuntimeError("no free loopback port between 10240 and 32767")


def _reserve(port: int) -> bool:
    """Lock the file of a port; the lock ends with this process, whatever ends it."""
    reservation = (RESERVATIONS / str(port)).open("w")
    try:
        fcntl.flock(reservation, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        reservation.close()
        return False
    _reserved.append(reservation)
    return True


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_s: float = 10.0,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Return as soon as ``condition()`` holds; AssertionError naming ``what`` when it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        pause(0.01)


def wait_in_greenlet(condition: Callable[[], bool], what: str, *, timeout_s: float = 10.0) -> None:
    """Wait as `wait_until` does, and let other greenlets of this thread run meanwhile."""
    import gevent

    wait_until(condition, what, timeout_s=timeout_s, pause=gevent.sleep)


def wait_for_progress(
    measure: Callable[[], float], goal: float, what: str, *, stalled_s: float = 60.0, limit_s: float = 600.0
) -> None:
    """Return once ``measure()`` reaches ``goal``, however long a busy machine takes, as long as it still rises.

    AssertionError with the last value when it has not risen for ``stalled_s``, and in any case after ``limit_s``.
    """
    best = measure()
    rose_at = begun_at = time.monotonic()
    while best < goal:
        now = time.monotonic()
        stalled = now - rose_at > stalled_s or now - begun_at > limit_s
        since = f"after {now - begun_at:.1f} s, no rise for {now - rose_at:.1f} s"
        assert not stalled, f"{what}: {best:g} of {goal:g} {since}"
        time.sleep(min(0.2, stalled_s / 10))
        if (value := measure()) > best:
            best, rose_at = value, time.monotonic()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit code yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def port_answers(port: int) -> bool:
    """Tell whether a loopback port accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes a child die when the tests are killed; the kernel ties it to the thread that starts it."""
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class ServerProcess:
    """One external program and its log file; its command holds its address, so it comes back on the same one.

    ``ready`` is polled until it is true; a program that ends earlier raises ServerDiedError with the end of its log.
    """

    def __init__(self, command: Sequence[str | Path], *, log: Path, ready: Callable[[], bool]) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the program and return once it is ready."""
        assert not self.running, f"already running: {self.command[0]}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the tests first, and they stop their servers
                preexec_fn=_die_with_parent(),  # noqa: PLW1509  # only prctl, looked up before the fork
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                tail = self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
                raise ServerDiedError(f"{Path(self.command[0]).name} did not come up; its log ends:\n{tail}")
            time.sleep(0.01)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program, for instance SIGSTOP and SIGCONT to make it hang and go on."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def stop(self) -> None:
        """End the program politely (SIGTERM), by force when it takes too long; nothing happens if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the program as a power cut would (SIGKILL); nothing happens if it is not running."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop the program politely and start it again."""
        self.stop()
        return self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
