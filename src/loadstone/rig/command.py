"""CommandRig: limits by commands of the user's own, ``--apply`` and ``--restore``, on any platform."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from loadstone.domain.masking import mask_secrets, mask_values
from loadstone.domain.units import MIB
from loadstone.errors import PlatformError
from loadstone.launch.managed_process import end_with_parent
from loadstone.rig.command_note import CommandNote
from loadstone.rig.host_room import check_room_here
from loadstone.rig.read_back import Report, check_groups, check_report, read_report
from loadstone.rig.rig import Applied, BrokeAtStart
from loadstone.rig.waiting import ended
from loadstone.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from loadstone.rig.rig import Setting

__all__ = ["CommandRig", "environment_of"]

_CURES: Final = {
    126: "The shell may not run it: make it executable, or name its interpreter",
    127: "The shell does not find it: correct the name, or give its path, such as ./set-limits.sh",
}
"""By exit codes of a POSIX shell."""
_BROKE_AT_START: Final = os.EX_UNAVAILABLE
"""69, "service unavailable" in sysexits.h: with this code ``--apply`` says that the target does not start."""
_READ_BYTES: Final = 64 * 1024
_TAIL_LINES: Final = 12
_SERVICE: Final = "target"
_ONCE_TOLD: Final = 'read -r _ && exec /bin/sh -c "$0" </dev/null'
_GO: Final = b"go\n"


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
        self._succeeded = False
        self._sampled = False
        self._note = CommandNote.new()

    @property
    def name(self) -> str:
        """The target, by its command, without secrets."""
        return f"the target of the command {mask_secrets(self._apply)!r}"

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
        """Where it is noted which command runs; what was there only the restore command knows."""
        return {"note": str(self._note.path)}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """Run the command and wait for its end. See `Rig.apply`; `UsageError` too where its report makes no sense."""
        self._last, self._succeeded, self._sampled = setting, False, False
        done = self._run(self._apply, "--apply", environment_of(setting), interrupted)
        if done.code is None:
            return Applied(setting=setting, read_back="")
        if done.code == _BROKE_AT_START:
            raise BrokeAtStart(f"it does not start with {setting}, says --apply: {done.shown()}")
        if done.code:
            raise PlatformError(
                f"--apply failed with {setting} (exit {done.code}): {done.shown()}", hint=_CURES.get(done.code, "")
            )
        self._succeeded = True
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
        """End what a killed study left running, and run the restore command. Raises `PlatformError` when that fails."""
        if note := before.get("note"):  # studies of version 0.1 have none
            self._note = CommandNote.named(note)
            self._note.end_what_is_left()
        if self._restore is None:
            return f"{self._left()}, because no --restore command was given"
        done = self._run(self._restore, "--restore", {}, lambda: False)
        if done.code:
            raise PlatformError(
                f"--restore failed (exit {done.code}), so limits of a trial may still hold: {done.shown()}"
            )
        return "the --restore command put back what was there before"

    def _left(self) -> str:
        """What is there now, as far as it is known."""
        if self._last is None:
            return "the limits of the last trial were left as they are"
        if self._succeeded:
            return f"the limits {self._last} were left as they are"
        return f"whatever --apply did for {self._last} was left as it is"

    def _run(self, command: str, option: str, env: Mapping[str, str], interrupted: Callable[[], bool]) -> _Ended:
        """Run a command in a process group of its own, which is ended when it takes too long or is interrupted.

        Its output goes to files: a server that it leaves behind may keep them open.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                process = _started(command, env, output, errors)
            except OSError as error:
                raise PlatformError(f"{option} could not be started: {error}") from error
            in_time = self._ended(process, option, interrupted)
            done = _Ended(process.returncode if in_time else None, _tail(output), _tail(errors))
        if not in_time and not interrupted():
            raise PlatformError(
                f"{option} did not end within {self._timeout_s:g} s and was ended with its children: {done.shown()}"
            )
        return done

    def _ended(self, process: subprocess.Popen[bytes], option: str, interrupted: Callable[[], bool]) -> bool:
        """Let it begin once it is noted that it runs, and wait for its end."""
        try:
            with cast("IO[bytes]", process.stdin) as word:  # without it the command never begins
                self._note.write(process.pid)
                word.write(_GO)
            return ended(process, self._timeout_s, interrupted)
        except OSError as error:
            raise PlatformError(f"{option} cannot be noted as running in {self._note.path}: {error}") from error
        finally:
            self._note.clear()


def environment_of(setting: Setting) -> dict[str, str]:
    """What ``--apply`` finds in its environment: cores, bytes, MiB rounded down, and replicas."""
    return {
        "CPU": f"{setting.cpu_cores:g}",
        "MEMORY": str(setting.mem_bytes),
        "MEMORY_MIB": str(setting.mem_bytes // MIB),
        "REPLICAS": str(setting.replicas),
    }


def _how_known(report: Report) -> str:
    if report.pids:
        return "the control groups of its processes"
    return f"what --apply reports of {told}" if (told := report.told()) else ""


def _started(command: str, env: Mapping[str, str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """A shell that waits for a word before it becomes the command, a command line of the user's own."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _ONCE_TOLD, command],
        env=child_environment(env),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        start_new_session=True,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _READ_BYTES))
    return file.read().decode(errors="replace")
