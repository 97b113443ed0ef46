"""CommandRig: limits on any platform, by a command of the user's own.

The shell runs it with CPU (cores of one replica), MEMORY (bytes of one replica), MEMORY_MIB (rounded down) and REPLICAS
in its environment. Exit code 0: the replicas are ready; 75: the target does not start with these limits; any other one
ends the study. The last line of its standard output may be a report, a JSON object, of what holds: see `_Report`.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from loadstone.domain.masking import mask_secrets, mask_values
from loadstone.errors import PlatformError, UsageError
from loadstone.host.cgroup import cgroup_of
from loadstone.rig.read_back import check_limits
from loadstone.rig.rig import Applied, BrokeAtStart, LimitsDifferError
from loadstone.rig.waiting import ended
from loadstone.settings import child_environment, parse
from loadstone.settings.axes import size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from loadstone.rig.rig import Setting

__all__ = ["CommandRig"]

_TARGET: Final = "target"
_DOES_NOT_START: Final = 75
"""EX_TEMPFAIL of sysexits.h, which no shell and hardly any tool ends with by accident."""
_MIB: Final = 1024**2
_SHOWN_LINES: Final = 8


class _Report(Struct, frozen=True, kw_only=True):
    """What holds: cores (or thousandths of one, as in 500m), memory (bytes, or a size such as 512m) and replicas.

    ``pids`` are processes on this machine, whose usage is sampled and whose control groups are read; ``host`` the base
    URL of the target; ``identity`` what runs, for run.json.
    """

    cpu: float | str | None = None
    memory: int | str | None = None
    replicas: int | None = None
    pids: tuple[int, ...] = ()
    host: str | None = None
    identity: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class _Done:
    """A command that has ended: its exit code, None if it took too long, and what it wrote."""

    code: int | None
    out: str
    both: str


class CommandRig:
    """Gives limits with ``apply`` and puts back with ``restore``, if there is one; each may take ``timeout_s``."""

    def __init__(self, apply: str, restore: str | None, timeout_s: float) -> None:
        self._apply, self._restore, self._timeout_s = apply, restore, timeout_s
        self._last: Setting | None = None
        self._pids: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What it sets limits of."""
        return f"what `{mask_secrets(self._apply)}` gives limits to"

    @property
    def service(self) -> str | None:
        """The service of its processes, if it reported any."""
        return _TARGET if self._pids else None

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        """Nothing is known of the machine that the target runs on."""

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        """Nothing is known of the requests that the target gets."""

    def before(self) -> Mapping[str, Any]:
        """Nothing is known of what was there; ``restore`` has to know it."""
        return {}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """See `Rig`."""
        done = self._run(self._apply, setting, interrupted)
        self._last = setting
        if interrupted():
            return Applied(setting=setting, read_back="")
        if done.code == _DOES_NOT_START:
            raise BrokeAtStart(f"the target does not start with {setting}: {_last_line(done.both)}")
        if done.code != 0:
            raise self._failed("--apply", done)
        report = _report_in(done.out)
        if report is None:
            return Applied(setting=setting, read_back="")
        self._pids = report.pids
        return Applied(
            setting=setting,
            read_back=_read_back(report, setting),
            identity=mask_values(report.identity),
            pids=report.pids,
            host=report.host,
        )

    def restore(self, before: Mapping[str, Any]) -> str:
        """See `Rig`."""
        del before
        if self._restore is None:
            left = f"has {self._last}" if self._last else "may have limits of the study"
            return f"the target {left}: no --restore says how to put back what was there"
        done = self._run(self._restore, None, lambda: False)
        if done.code != 0:
            raise self._failed("--restore", done)
        return "what was there before is put back, as --restore says"

    def _run(self, command: str, setting: Setting | None, interrupted: Callable[[], bool]) -> _Done:
        limits = {}
        if setting is not None:
            limits = {
                "CPU": f"{setting.cpu_cores:g}",
                "MEMORY": str(setting.mem_bytes),
                "MEMORY_MIB": str(setting.mem_bytes // _MIB),
                "REPLICAS": str(setting.replicas),
            }
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                env=child_environment(limits),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            in_time = ended(process, self._timeout_s, interrupted)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return _Done(process.returncode if in_time else None, texts[0], "\n".join(texts))

    def _failed(self, option: str, done: _Done) -> PlatformError:
        how = f"took more than {self._timeout_s:g} s" if done.code is None else f"ended with exit code {done.code}"
        lines = [line for line in done.both.splitlines() if line.strip()][-_SHOWN_LINES:]
        said = mask_secrets("\n".join(lines)) or "nothing"
        return PlatformError(
            f"the command of {option} {how}. It said: {said}",
            hint="Try it by hand with CPU, MEMORY, MEMORY_MIB and REPLICAS in the environment"
            if option == "--apply"
            else "Put back by hand what was there",
        )


def _report_in(out: str) -> _Report | None:
    """The report in the last line; None without one. Raises `UsageError` for one that cannot be read."""
    last = _last_line(out)
    try:
        found = msgspec.json.decode(last)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict) or not set(found) & set(_Report.__struct_fields__):
        return None
    try:
        report = msgspec.convert(found, _Report)
        if report.host is not None:
            parse.target(report.host)
        _cores(report)
        _mem_bytes(report)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(
            f"the command of --apply ends with a report that cannot be read: {mask_secrets(last)}: {error}",
            hint='It may say "cpu", "memory", "replicas", "pids", "host" and "identity"',
        ) from error
    return report


def _cores(report: _Report) -> float | None:
    if not isinstance(report.cpu, str):
        return report.cpu
    return float(report.cpu[:-1]) / 1000 if report.cpu.endswith("m") else float(report.cpu)


def _mem_bytes(report: _Report) -> int | None:
    return size_bytes(report.memory) if isinstance(report.memory, str) else report.memory


def _read_back(report: _Report, asked: Setting) -> str:
    """How it is known that what was asked for holds; empty if it is not. Raises `LimitsDifferError`."""
    if report.replicas not in {None, asked.replicas}:
        raise LimitsDifferError(f"{asked} was asked for, and the command of --apply reports {report.replicas} replicas")
    cores = asked.cpu_cores if report.cpu is None else _cores(report)
    memory = asked.mem_bytes if report.memory is None else _mem_bytes(report)
    check_limits("the command of --apply reports", cores, memory, asked)
    groups = set()
    for pid in report.pids:
        group = cgroup_of(pid)
        if group is None:
            raise LimitsDifferError(f"the command of --apply reports process {pid}, which has no control group here")
        limits = group.limits()
        check_limits(f"the control group of process {pid} has", limits.cpu_cores, limits.mem_bytes, asked)
        groups.add(group)
    if report.pids and len(groups) != asked.replicas:
        raise LimitsDifferError(
            f"{asked} was asked for, and the processes that the command of --apply reports share {len(groups)} control"
            f" group{'s' if len(groups) > 1 else ''}",
            hint="Each replica needs a control group of its own, and a process of each has to be reported",
        )
    if report.pids:
        return f"the control groups of {len(report.pids)} processes" if len(report.pids) > 1 else "its control group"
    known = report.cpu is not None and report.memory is not None
    return "the command's own report" if known else ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
