"""The CPU and memory limits that a process runs under, and how it was throttled, read from its control group.

Version 2 is described in the kernel's Documentation/admin-guide/cgroup-v2.rst, version 1 in
Documentation/scheduler/sched-bwc.rst and Documentation/admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadstone.domain.time import NS_PER_US

__all__ = ["Cgroup", "Limits", "Throttling", "cgroup_of"]

ROOT: Final = Path("/sys/fs/cgroup")
_UNLIMITED_FROM: Final = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of the page size."""


@dataclass(frozen=True, slots=True)
class Limits:
    """CPU cores and bytes of memory a group may use; None where it is not limited."""

    cpu_cores: float | None
    mem_bytes: int | None


@dataclass(frozen=True, slots=True)
class Throttling:
    """Scheduling periods so far, in how many of them the group was throttled, and for how long altogether."""

    periods: int
    throttled_periods: int
    throttled_us: int


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One control group: a folder for CPU and one for memory, which are the same in version 2."""

    cpu: Path
    memory: Path
    version: int

    def limits(self) -> Limits:
        """The tightest limits of this group and the groups above it."""
        cpu = [limit for folder in _upwards(self.cpu) if (limit := self._cpu_limit(folder)) is not None]
        memory = [limit for folder in _upwards(self.memory) if (limit := self._memory_limit(folder)) is not None]
        return Limits(min(cpu, default=None), min(memory, default=None))

    def throttling(self) -> Throttling | None:
        """How the group was throttled since it was made; None where no CPU limit can be set on it."""
        pairs = dict(line.split(maxsplit=1) for line in _read(self.cpu / "cpu.stat").splitlines() if " " in line)
        if "nr_periods" not in pairs:
            return None
        throttled_us = int(pairs["throttled_time"]) // NS_PER_US if self.version == 1 else int(pairs["throttled_usec"])
        return Throttling(int(pairs["nr_periods"]), int(pairs["nr_throttled"]), throttled_us)

    def memory_kills(self) -> int | None:
        """How many of its processes the kernel killed for want of memory; None where the kernel does not count them."""
        text = _read(self.memory / ("memory.oom_control" if self.version == 1 else "memory.events"))
        pairs = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
        return int(pairs["oom_kill"]) if "oom_kill" in pairs else None

    def _cpu_limit(self, folder: Path) -> float | None:
        if self.version == 1:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        else:
            quota, _, period = _read(folder / "cpu.max").partition(" ")
        return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None

    def _memory_limit(self, folder: Path) -> int | None:
        text = _read(folder / ("memory.limit_in_bytes" if self.version == 1 else "memory.max"))
        return int(text) if text.isdecimal() and int(text) < _UNLIMITED_FROM else None


def cgroup_of(pid: int, *, proc: Path = Path("/proc"), root: Path = ROOT) -> Cgroup | None:
    """The control group of a process; None where there are none, or the process is gone."""
    groups = [line.split(":", 2) for line in _read(proc / str(pid) / "cgroup").splitlines()]
    by_controller = {controller: path for _, names, path in groups for controller in names.split(",")}
    if "cpu" in by_controller and "memory" in by_controller:
        return Cgroup(
            cpu=_folder(root / "cpu", by_controller["cpu"]),
            memory=_folder(root / "memory", by_controller["memory"]),
            version=1,
        )
    if "" in by_controller and (root / "cgroup.controllers").exists():
        folder = _folder(root, by_controller[""])
        return Cgroup(cpu=folder, memory=folder, version=2)
    return None


def _folder(root: Path, group: str) -> Path:
    """The folder of a group. In a container that sees only its own group, that group is the root."""
    folder = root / group.lstrip("/")
    return folder if folder.is_dir() else root


def _upwards(folder: Path) -> list[Path]:
    """A group and those above it, up to the one that every process is in."""
    return [folder, *(parent for parent in folder.parents if ROOT in parent.parents)]


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
