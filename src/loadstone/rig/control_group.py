"""ControlGroup: a control group of one's own with a CPU quota and a memory limit, made and removed again.

Version 2 follows the kernel's Documentation/admin-guide/cgroup-v2.rst, version 1 Documentation/scheduler/sched-bwc.rst
and Documentation/admin-guide/cgroup-v1/memory.rst. In version 1 CPU and memory are two trees, so there are two folders,
each below the group that this process is in. Version 2 knows groups either with processes or with limited groups below
them ("no internal processes"), so there the folder is made below the nearest group above this process that may have it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psutil

from loadstone.errors import PlatformError, UsageError
from loadstone.host.cgroup import ROOT, Cgroup, cgroup_of
from loadstone.rig.rig import LimitsDifferError, memory_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadstone.rig.rig import Setting

__all__ = ["GROUP_NAMES", "ControlGroup", "group_name", "hand_on_no_longer", "remove_groups"]

GROUP_NAMES: Final = "loadstone-"
"""How the names of all groups begin."""
_MADE_BY: Final = re.compile(rf"{GROUP_NAMES}(\d+)-[0-9a-f]{{8}}")
_PERIOD_US: Final = 100_000
"""The period that Docker and Kubernetes use: quotas throttle alike only over the same period."""
_NEEDED: Final = frozenset({"cpu", "memory"})
_EMPTY_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.02
_ENTER: Final = 'for group do shift; [ "$group" = -- ] && break; echo $$ >"$group" || exit 2; done; exec "$@"'
"""The shell puts itself into the group, then becomes the program: all that this one starts is in the group too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """A place for a group; nothing is there before `make`.

    ``enable``: controllers that the group above (version 2) does not give to the groups below it yet.
    """

    group: Cgroup
    enable: frozenset[str] = frozenset()

    @classmethod
    def place(cls, name: str, *, proc: Path = Path("/proc"), root: Path = ROOT) -> Self:
        """A place near the group of this process. Raises `UsageError` where no group can be made."""
        own = cgroup_of(os.getpid(), proc=proc, root=root)
        if own is None:
            raise _refused("this machine shows no control groups with CPU and memory limits under /sys/fs/cgroup")
        if own.version == 1:
            return cls(group=_place_v1(own, name))
        folder, enable = _place_v2(own.cpu, root)
        return cls(group=Cgroup(cpu=folder / name, memory=folder / name, version=2), enable=enable)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the group: two in version 1."""
        return tuple(dict.fromkeys((self.group.cpu, self.group.memory)))

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command line that start it in the group."""
        return ("/bin/sh", "-c", _ENTER, "sh", *(str(folder / "cgroup.procs") for folder in self.folders), "--")

    def make(self, limits: Setting) -> None:
        """Make the group anew, with counters at zero. Raises `LimitsDifferError` where the kernel takes no such limit.

        What was still running in it is killed.
        """
        remove_groups(self.folders)
        for folder in self.folders:
            _remove_left_over(folder.parent)
        try:
            if self.enable:
                _write(self.group.cpu.parent / "cgroup.subtree_control", " ".join(f"+{each}" for each in self.enable))
            for folder in self.folders:
                folder.mkdir()
        except OSError as error:
            remove_groups(self.folders)
            raise _refused(f"{error.filename}: {error.strerror}") from error
        for file, text in self._contents(limits):
            try:
                _write(file, text)
            except OSError as error:
                raise LimitsDifferError(
                    f"the kernel does not take {limits.cpu_cores:g} CPU and {memory_text(limits.mem_bytes)}:"
                    f" {file} = {text}: {error.strerror}",
                    hint="A group above this one may have less",
                ) from error

    def _contents(self, limits: Setting) -> Iterable[tuple[Path, str]]:
        cpu, memory = self.group.cpu, self.group.memory
        quota_us, size = round(limits.cpu_cores * _PERIOD_US), str(limits.mem_bytes)
        if self.group.version == 1:
            yield cpu / "cpu.cfs_period_us", str(_PERIOD_US)
            yield cpu / "cpu.cfs_quota_us", str(quota_us)
            yield memory / "memory.limit_in_bytes", size
            swap = memory / "memory.memsw.limit_in_bytes"  # memory and swap together; only with swap accounting
            yield (swap, size) if swap.exists() else (memory / "memory.swappiness", "0")
            return
        yield cpu / "cpu.max", f"{quota_us} {_PERIOD_US}"
        yield memory / "memory.max", size
        if (memory / "memory.swap.max").exists():
            yield memory / "memory.swap.max", "0"


def group_name() -> str:
    """A name that no other group has, and that tells which process made it."""
    return f"{GROUP_NAMES}{os.getpid()}-{uuid.uuid4().hex[:8]}"


def remove_groups(folders: Iterable[Path]) -> None:
    """Kill what is left in these groups and remove them. Raises `PlatformError` when that fails for one of them."""
    deadline_s = time.monotonic() + _EMPTY_WITHIN_S
    failures = [failure for folder in folders if (failure := _remove(folder, deadline_s)) is not None]
    if failures:
        raise failures[0]


def _remove(folder: Path, deadline_s: float) -> PlatformError | None:
    while folder.is_dir():
        _kill_all(folder)
        try:
            folder.rmdir()
        except OSError as error:  # the kernel calls a group busy until its processes have ended
            if time.monotonic() > deadline_s:
                return PlatformError(
                    f"the control group {folder} cannot be removed: {error.strerror}",
                    hint=f"Remove it with rmdir {folder} once no process is in it",
                )
            time.sleep(_LOOK_EVERY_S)
    return None


def _remove_left_over(above: Path) -> None:
    """Remove the empty groups of studies that were killed and never resumed."""
    for folder in above.glob(f"{GROUP_NAMES}*"):
        made_by = _MADE_BY.fullmatch(folder.name)
        if made_by and not psutil.pid_exists(int(made_by[1])):
            with contextlib.suppress(OSError):  # the kernel keeps one with processes in it
                folder.rmdir()


def hand_on_no_longer(above: Path, controllers: Iterable[str]) -> None:
    """Take controllers back that a group was told to hand on, unless groups of other studies still need them."""
    if not any(above.glob(f"{GROUP_NAMES}*")):
        with contextlib.suppress(OSError):  # somebody else hands them further on meanwhile
            _write(above / "cgroup.subtree_control", " ".join(f"-{each}" for each in controllers))


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _place_v1(own: Cgroup, name: str) -> Cgroup:
    place = Cgroup(cpu=own.cpu / name, memory=own.memory / name, version=1)
    needed = {own.cpu: "cpu.cfs_quota_us", own.memory: "memory.limit_in_bytes"}
    for folder, file in needed.items():
        if not (folder / file).exists():
            raise _refused(f"{folder} has no {file}")
        if not os.access(folder, os.W_OK):
            raise _refused(f"{folder} is not writable for you")
    return place


def _place_v2(own: Path, root: Path) -> tuple[Path, frozenset[str]]:
    """The nearest group that may have a limited group below it, and the controllers it has to be told to hand on."""
    above = [own, *(parent for parent in own.parents if parent == root or root in parent.parents)]
    why = []
    for folder in above:
        missing = _NEEDED - _words(folder / "cgroup.subtree_control")
        if not os.access(folder, os.W_OK):
            why.append(f"{folder} is not writable for you")
        elif absent := missing - _words(folder / "cgroup.controllers"):
            why.append(f"{folder} lacks the controllers {' and '.join(sorted(absent))}")
        elif missing and (folder / "cgroup.type").exists() and _words(folder / "cgroup.procs"):
            why.append(f"{folder} has processes of its own")
        else:
            return folder, frozenset(missing)
    raise _refused("; ".join(why))


def _words(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text().split())
    except OSError:
        return frozenset()


def _write(file: Path, text: str) -> None:
    """Write to a file of the kernel, in one call and without making it."""
    handle = os.open(file, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    except OSError as error:
        error.filename = str(file)
        raise
    finally:
        os.close(handle)


def _refused(why: str) -> UsageError:
    return UsageError(
        f"no control group with limits for the demo target can be made here: {why}",
        hint="Be root on Linux, use the compose stack, or give --apply COMMAND",
    )
