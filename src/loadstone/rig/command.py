"""CommandRig: limits by commands of the user's own, ``--apply`` and ``--restore``, on any platform."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from loadstone.domain.masking import mask_secrets, mask_values
from loadstone.errors import PlatformError
from loadstone.launch.managed_process import end_with_parent
from loadstone.rig.host_room import check_room_here
from loadstone.rig.read_back import Report, check_groups, check_report, read_report
from loadstone.rig.rig import Applied, BrokeAtStart
from loadstone.rig.waiting import ended
from loadstone.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from loadstone.rig.rig import Setting

__all__ = ["CommandRig", "environment_of"]

_BROKE_AT_START: Final = os.EX_UNAVAILABLE
"""69, "service unavailable" in sysexits.h: with this code ``--apply`` says that the target does not start."""
_READ_BYTES: Final = 64 * 1024
_TAIL_LINES: Final = 12
_MIB: Final = 1024**2
_SERVICE: Final = "target"


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a command ended; ``code`` is None if it was ended because of an interruption."""

    code: int | None
    output: str
    errors: str

    def shown(self) -> str:
        """The last lines it wrote, without secrets."""
        lines = [*self.output.strip().splitlines(), *self.errors.strip().splitlines()]
        return mask_secrets("\n".join(lines[-_TAIL_LINES:])) or "it wrote nothing"


class CommandRig:
    """Limits that a command sets. Whether they hold is known only as far as the command reports it."""

    def __init__(self, apply: str, restore: str | None = None, timeout_s: float = 600.0) -> None:
        self._apply, self._restore, self._timeout_s = apply, restore, timeout_s
        self._last: Setting | None = None
        self._sampled = False

    @property
    def name(self) -> str:
        """The command, without secrets."""
        return f"what the command {mask_secrets(self._apply)!r} sets"

    @property
    def service(self) -> str | None:
        """The service of the processes that the command last reported; None if it reported none."""
        return _SERVICE if self._sampled else None

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        """Nothing is known of the target's machine, unless the command has reported processes, which run here."""
        if self._sampled:
            check_room_here(settings, kept_cores)

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        """Nothing is known of the requests that the target gets."""

    def before(self) -> Mapping[str, Any]:
        """Nothing: only the restore command knows what was there."""
        return {}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """Run the command and wait for its end. See `Rig.apply`; `UsageError` too where its report makes no sense."""
        self._last, self._sampled = setting, False
        done = _run(self._apply, "--apply", environment_of(setting), self._timeout_s, interrupted)
        if done.code is None:
            return Applied(setting=setting, read_back="")
        if done.code == _BROKE_AT_START:
            raise BrokeAtStart(f"it does not start with {setting}, says --apply: {done.shown()}")
        if done.code:
            raise PlatformError(f"--apply failed with {setting} (exit {done.code}): {done.shown()}")
        report = read_report(done.output)
        check_report(report, setting)
        if report.pids:
            check_groups(report.pids, setting)
        self._sampled = bool(report.pids)
        return Applied(
            setting=setting,
            read_back=_how_known(report),
            identity=mask_values(report.identity),
            pids=report.pids,
            host=report.host,
        )

    def restore(self, before: Mapping[str, Any]) -> str:
        """Run the restore command. Raises `PlatformError` when it fails."""
        del before
        if self._restore is None:
            left = f"the limits {self._last}" if self._last else "the limits of the last trial"
            return f"{left} were left as they are, because no --restore command was given"
        done = _run(self._restore, "--restore", {}, self._timeout_s, lambda: False)
        if done.code:
            raise PlatformError(
                f"--restore failed (exit {done.code}), so limits of a trial may still hold: {done.shown()}"
            )
        return "the --restore command put back what was there before"


def environment_of(setting: Setting) -> dict[str, str]:
    """What ``--apply`` finds in its environment: cores, bytes, MiB rounded down, and replicas."""
    return {
        "CPU": f"{setting.cpu_cores:g}",
        "MEMORY": str(setting.mem_bytes),
        "MEMORY_MIB": str(setting.mem_bytes // _MIB),
        "REPLICAS": str(setting.replicas),
    }


def _how_known(report: Report) -> str:
    if report.pids:
        return "the control groups of its processes"
    return f"what --apply reports of {told}" if (told := report.told()) else ""


def _run(
    command: str, option: str, env: Mapping[str, str], timeout_s: float, interrupted: Callable[[], bool]
) -> _Ended:
    """Run a command in a process group of its own, which is ended when it takes too long or is interrupted.

    Its output goes to files: a server that it leaves behind may keep them open.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S602  (a command line of the user's own)
                command,
                shell=True,
                env=child_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )
        except OSError as error:
            raise PlatformError(f"{option} could not be started: {error}") from error
        in_time = ended(process, timeout_s, interrupted)
        done = _Ended(process.returncode if in_time else None, _tail(output), _tail(errors))
    if not in_time and not interrupted():
        raise PlatformError(
            f"{option} did not end within {timeout_s:g} s and was ended with its children: {done.shown()}"
        )
    return done


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _READ_BYTES))
    return file.read().decode(errors="replace")
