"""ManagedProcess: a child process with its log, exit code and restarts; ReservedPorts: ports for such processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError
from loadstone.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["ManagedProcess", "ReservedPorts", "end_with_parent", "in_url", "tcp_socket"]

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_TAIL_LINES: Final = 12


@dataclass(slots=True, kw_only=True)
class ManagedProcess:
    """A child process. It runs in its own session, so that Ctrl-C in the terminal reaches only its parent.

    After a crash it may be restarted ``restarts`` times within ``restart_window_s``. It inherits the open ``files``.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path | None = None
    restarts: int = 0
    restart_window_s: float = 60.0
    stop_timeout_s: float = 10.0
    files: Sequence[int] = ()
    monotonic_s: Callable[[], float] = time.monotonic
    process: subprocess.Popen[bytes] | None = None
    _restarted_at_s: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the process. Raises `PlatformError` when the system refuses."""
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.argv,
                    env=child_environment(self.env),
                    cwd=self.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=self.files,
                    preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                )
        except OSError as error:
            raise PlatformError(f"{self.name} could not be started: {error}") from error

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs or before it was started."""
        return self.process.poll() if self.process else None

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def may_restart(self) -> bool:
        """Whether it has restarts left in the current window."""
        now_s = self.monotonic_s()
        self._restarted_at_s = [at_s for at_s in self._restarted_at_s if now_s - at_s < self.restart_window_s]
        return len(self._restarted_at_s) < self.restarts

    def restart(self) -> None:
        """Start it again and count the restart."""
        self._restarted_at_s.append(self.monotonic_s())
        self.start()

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Send SIGTERM, wait ``stop_timeout_s``, then kill the process with its children."""
        self.terminate()
        self.wait(self.stop_timeout_s)
        self._signal(signal.SIGKILL)
        self.wait(self.stop_timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end, at most this long; whether it has ended."""
        if self.process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        return not self.alive

    def tail(self) -> str:
        """The last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        """Signal the whole session: the process may have children, and they may outlive it."""
        if self.process is None or (number == signal.SIGTERM and not self.alive):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def end_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, even when that is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ReservedPorts:
    """Free TCP ports, each reserved for a child process until `release`.

    On Linux a bound socket that does not listen keeps the port: the kernel gives it to no other process, while a
    server that sets SO_REUSEADDR, as every server started here does, can still listen on it, again and again (see
    SO_REUSEADDR in socket(7)). Other systems would refuse the server, so there the port is only looked up.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def reserve(self, bind: str) -> int:
        """A free port on an address of this machine. Raises `PlatformError` when there is none."""
        reserved = tcp_socket(bind)
        try:
            reserved.bind((bind, 0))
        except OSError as error:
            reserved.close()
            raise PlatformError(f"no port on {bind} can be reserved: {error.strerror or error}") from error
        self._sockets.append(reserved)
        port = int(reserved.getsockname()[1])
        if sys.platform != "linux":
            self.release()
        return port

    def release(self) -> None:
        """Give all ports back."""
        while self._sockets:
            self._sockets.pop().close()


def in_url(bind: str) -> str:
    """An address as it stands in a URL: IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{bind}]" if ":" in bind else bind


def tcp_socket(bind: str) -> socket.socket:
    """A TCP socket for an address, with SO_REUSEADDR as servers set it."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
