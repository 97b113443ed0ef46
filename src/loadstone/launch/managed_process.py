"""ManagedProcess: one process of the platform, with its log, its end and, if it may, its restarts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError
from loadstone.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ManagedProcess"]

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_TAIL_LINES: Final = 12


@dataclass(slots=True, kw_only=True)
class ManagedProcess:
    """One process. It runs in a session of its own, so a Ctrl-C in the terminal reaches only who started it.

    ``restarts`` is how often it may be started again when it ends by itself within ``restart_window_s``.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path | None = None
    restarts: int = 0
    restart_window_s: float = 60.0
    stop_timeout_s: float = 10.0
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
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                )
        except OSError as error:
            raise PlatformError(f"{self.name} could not be started: {error}") from error

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs or before it was started."""
        return self.process.poll() if self.process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def may_restart(self) -> bool:
        """Whether it ended no more often than it may, lately."""
        now = time.monotonic()
        self._restarted_at_s = [at for at in self._restarted_at_s if now - at < self.restart_window_s]
        return len(self._restarted_at_s) < self.restarts

    def restart(self) -> None:
        """Start it again and remember that."""
        self._restarted_at_s.append(time.monotonic())
        self.start()

    def terminate(self) -> None:
        """Ask it to end; returns at once."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, and end it when it does not; its children end with it."""
        self.terminate()
        self.wait(self.stop_timeout_s)
        self._signal(signal.SIGKILL)
        self.wait(self.stop_timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within this time."""
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
        """To the whole session: a part may have children, and they may outlive it."""
        if self.process is None or (number == signal.SIGTERM and not self.alive):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, even when that is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
