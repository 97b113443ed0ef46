"""CommandNote: a file that tells which command of a rig runs, so that it is ended even if its study was killed.

A shell dies with the study that started it, but what the shell called lives on: it could still set the limits of then
while a study that goes on has set others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import psutil

from loadstone.errors import PlatformError, UsageError

__all__ = ["CommandNote"]

_NAMES: Final = "loadstone-command-"
_ENDS_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05
_CLOCK_S: Final = 2.0
"""By how much the start of a process may seem to move when the clock of the machine is set."""


class _Running(msgspec.Struct, frozen=True, kw_only=True):
    """The first process of a command, which leads a group of its own, and when it started (seconds since 1970)."""

    pid: int
    started_s: float


@dataclass(frozen=True, slots=True)
class CommandNote:
    """The note is there while a command runs."""

    path: Path

    @classmethod
    def new(cls) -> Self:
        """One that nobody else has."""
        return cls(Path(tempfile.gettempdir()) / f"{_NAMES}{uuid.uuid4().hex}")

    @classmethod
    def named(cls, path: str) -> Self:
        """One that a study names. Raises `UsageError` for a file that `new` cannot have named."""
        if not Path(path).is_absolute() or not Path(path).name.startswith(_NAMES):
            raise UsageError(f"the study names {path} as the note of its command, which it cannot have made")
        return cls(Path(path))

    def write(self, pid: int) -> None:
        """Note that this process runs. Raises `OSError`."""
        running = _Running(pid=pid, started_s=psutil.Process(pid).create_time())
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(running))

    def clear(self) -> None:
        """Nothing runs any more."""
        self.path.unlink(missing_ok=True)

    def end_what_is_left(self) -> None:
        """End the command that it tells of, with all it started. Raises `PlatformError` where that fails."""
        running = self._read()
        if running is not None:
            _end(running)
        self.clear()

    def _read(self) -> _Running | None:
        """None without a note of this user's own."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as file:
                own = os.fstat(handle).st_uid == os.getuid()
                return msgspec.json.decode(file.read(1000), type=_Running) if own else None
        except (OSError, msgspec.MsgspecError):
            return None


def _end(running: _Running) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline_s = time.monotonic() + _ENDS_WITHIN_S
        if not _left_of(running):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, number)
        while _left_of(running) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_EVERY_S)
    if left := _left_of(running):
        raise PlatformError(
            f"a command of the study that was killed still runs: {', '.join(map(str, left))}",
            hint="End these processes, then resume the study",
        )


def _left_of(running: _Running) -> list[int]:
    """What still runs of its group; nothing if its number belongs to another process by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) != running.pid or process.status() == psutil.STATUS_ZOMBIE:
                continue
            later_s = process.create_time() - running.started_s
            if later_s < -_CLOCK_S or (process.pid == running.pid and later_s > _CLOCK_S):
                return []
            found.append(process.pid)
    return found
