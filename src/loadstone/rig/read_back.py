"""What a command reports of the limits it set, and whether these are the ones it was asked for."""

from __future__ import annotations

import re
from math import isclose
from mmap import PAGESIZE
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.errors import UsageError
from loadstone.host.cgroup import cgroup_of
from loadstone.rig.rig import LimitsDifferError, memory_text
from loadstone.settings import size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.host.cgroup import Cgroup, Limits
    from loadstone.rig.rig import Setting

__all__ = ["Report", "check_groups", "check_limits", "check_report", "read_report"]

_CPU_TOLERANCE: Final = 0.01
_CPU: Final = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_KNOWN: Final = "cpu, memory, replicas, pids, host and identity"


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON object in the last line of the command's standard output.

    ``cpu`` in cores, or in thousandths as in ``250m``; ``memory`` in bytes, or as in ``512m`` and ``512Mi``.
    """

    cpu: float | str | None = None
    memory: int | str | None = None
    replicas: int | None = None
    pids: tuple[int, ...] = ()
    host: str | None = None
    identity: dict[str, Any] = {}

    def told(self) -> str:
        """The limits it tells, by name; empty if it tells none."""
        named = {"cpu": self.cpu, "memory": self.memory, "replicas": self.replicas}
        return ", ".join(name for name, value in named.items() if value is not None)


def read_report(output: str) -> Report:
    """The report in the last line of an output; an empty one where that is no JSON object. Raises `UsageError`."""
    lines = output.strip().splitlines()
    if not lines or not lines[-1].lstrip().startswith("{"):
        return Report()
    try:
        report = msgspec.json.decode(lines[-1], type=Report)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"the last line that --apply wrote is no report of what it set: {error}",
            hint=f"It may be a JSON object with {_KNOWN}, or a line that does not begin with a brace",
        ) from error
    if report.host is not None and not report.host.startswith(("http://", "https://")):
        raise UsageError(f"--apply reports the host {report.host!r}, it must begin with http:// or https://")
    return report


def check_report(report: Report, asked: Setting) -> None:
    """Raise `LimitsDifferError` where the command reports other limits than those it was asked for."""
    cpu = None if report.cpu is None else _cores(report.cpu)
    memory = None if report.memory is None else _bytes(report.memory)
    differs = [
        *([f"{cpu:g} CPU"] if cpu is not None and not _same_cpu(cpu, asked) else []),
        *([memory_text(memory)] if memory is not None and not _same_memory(memory, asked) else []),
        *([f"{report.replicas} replicas"] if report.replicas not in {None, asked.replicas} else []),
    ]
    if differs:
        raise LimitsDifferError(f"--apply was asked for {asked}, but reports {' and '.join(differs)}")


def check_groups(pids: Sequence[int], asked: Setting) -> None:
    """Raise `LimitsDifferError` unless the control groups of these processes have the limits that were asked for.

    Each replica has a group of its own. `UsageError` for two processes in one: each would be measured as a replica.
    """
    groups: dict[Cgroup, int] = {}
    for pid in pids:
        group = cgroup_of(pid)
        if group is None:
            raise UsageError(f"the limits of process {pid}, which --apply reports, cannot be read: is it running here?")
        check_limits(group.limits(), asked, f"process {pid}")
        if group in groups:
            raise UsageError(
                f"--apply reports the processes {groups[group]} and {pid} of one control group, which is one replica",
                hint="Report the first process of each replica only: what it starts is measured with it",
            )
        groups[group] = pid
    if len(groups) != asked.replicas:
        raise LimitsDifferError(
            f"--apply was asked for {asked}, but the processes that it reports are in {len(groups)} control groups",
            hint="Report one process of every replica, each of which needs a group of its own",
        )


def check_limits(limits: Limits, asked: Setting, whose: str) -> None:
    """Raise `LimitsDifferError` unless these are the limits that were asked for."""
    cpu, memory = limits.cpu_cores, limits.mem_bytes
    if cpu is None or memory is None or not (_same_cpu(cpu, asked) and _same_memory(memory, asked)):
        raise LimitsDifferError(
            f"{whose} was to have {asked.cpu_cores:g} CPU and {memory_text(asked.mem_bytes)}, but its control group has"
            f" {'any number of CPUs' if cpu is None else f'{cpu:g} CPU'}"
            f" and {'any amount of memory' if memory is None else memory_text(memory)}"
        )


def _same_cpu(cores: float, asked: Setting) -> bool:
    return isclose(cores, asked.cpu_cores, rel_tol=_CPU_TOLERANCE)


def _same_memory(size_bytes: int, asked: Setting) -> bool:
    """The kernel rounds to pages."""
    return abs(size_bytes - asked.mem_bytes) < PAGESIZE


def _cores(told: float | str) -> float:
    if not isinstance(told, str):
        return told
    found = _CPU.fullmatch(told.strip())
    if found is None:
        raise UsageError(f"--apply reports cpu {told!r}, it must be cores as in 0.5, or thousandths as in 500m")
    return float(found[1]) / (1000 if found[2] else 1)


def _bytes(told: int | str) -> int:
    if not isinstance(told, str):
        return told
    try:
        return size_bytes(told)
    except ValueError as error:
        raise UsageError(f"--apply reports memory {told!r}, it must be bytes, or text such as 512m or 2g") from error
