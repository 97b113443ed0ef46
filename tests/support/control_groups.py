"""Real control groups for tests, where this machine lets one make some; and a file tree that stands for version 2."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadstone.errors import UsageError
from loadstone.rig.cgroup import CgroupRig
from support.require import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextmanager
def cgroup_rig() -> Iterator[CgroupRig]:
    """A rig whose group is removed in the end. Skips the test, or fails it, where no group can be made.

    A test that leaves a group of this process behind fails.
    """
    rig = CgroupRig()
    try:
        before = rig.before()
    except UsageError as error:
        missing(str(error))
        raise AssertionError("unreachable: missing() always raises") from error
    try:
        yield rig
    finally:
        rig.restore(before)
    left = [str(other) for folder in before["folders"] for other in own_groups(Path(folder).parent)]
    assert not left, f"control groups are left: {left}"


def own_groups(above: Path) -> list[Path]:
    """The groups below this one that rigs in this process have made."""
    return sorted(above.glob(f"loadstone-{os.getpid()}-*"))


class Version2Double:
    """A file tree that stands for version 2: folders get the kernel's files, but no process is ever limited.

    Real groups are made in `tests/processes/rig/test_cgroup.py`, of the version that the machine has.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.proc = folder / "fs", folder / "proc"
        mkdir, rmdir = Path.mkdir, Path.rmdir

        def make(folder: Path, *how: Any, **more: Any) -> None:
            mkdir(folder, *how, **more)
            if self._is_group(folder):
                _fill(folder)

        def remove(folder: Path) -> None:
            if self._is_group(folder):
                shutil.rmtree(folder)
            else:
                rmdir(folder)

        monkeypatch.setattr(Path, "mkdir", make)
        monkeypatch.setattr(Path, "rmdir", remove)
        self.root.mkdir(parents=True)
        (self.root / "cgroup.type").unlink()  # only the root of all groups has none

    def group(self, path: str, *, hands_on: str = "", processes: str = "") -> Path:
        """A group that may hand on CPU and memory; ``hands_on``: what it hands on already."""
        folder = self.root / path
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(hands_on)
        (folder / "cgroup.procs").write_text(processes)
        return folder

    def holds(self, pid: int, path: str) -> None:
        """Tell that a process is in a group."""
        (self.proc / str(pid)).mkdir(parents=True, exist_ok=True)
        (self.proc / str(pid) / "cgroup").write_text(f"0::/{path}\n")

    def _is_group(self, folder: Path) -> bool:
        return folder == self.root or self.root in folder.parents


def _fill(folder: Path) -> None:
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (folder / "cpu.max").write_text("max 100000\n")
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n")
    (folder / "memory.max").write_text("max\n")
    for name in ("cgroup.subtree_control", "cgroup.procs", "cgroup.type", "memory.swap.max"):
        (folder / name).touch()
