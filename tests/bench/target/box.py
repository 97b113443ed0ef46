"""A cgroup with limits on CPU and memory for one benchmarked process; needs root and writable cgroups, v1 or v2."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


@dataclass(frozen=True, kw_only=True)
class Box:
    """The folders of one cgroup, one per controller; in v2 they are the same."""

    cpu: Path
    memory: Path
    v1: bool

    def enter(self) -> None:
        """Move the calling process into the group; for ``preexec_fn``."""
        for folder in {self.cpu, self.memory}:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak_mb(self) -> float:
        """Return the peak memory of the group, including page cache."""
        name = "memory.max_usage_in_bytes" if self.v1 else "memory.peak"
        return int((self.memory / name).read_text()) / 1e6

    def anonymous_mb(self) -> float:
        """Return the memory that the kernel cannot reclaim."""
        facts = dict(line.split() for line in (self.memory / "memory.stat").read_text().splitlines())
        return int(facts["rss" if self.v1 else "anon"]) / 1e6

    def killed(self) -> int:
        """Return the number of processes killed for lack of memory."""
        name = "memory.oom_control" if self.v1 else "memory.events"
        facts = dict(line.split() for line in (self.memory / name).read_text().splitlines())
        return int(facts.get("oom_kill", 0))

    def throttled_s(self) -> float:
        """Return the time for which the group's CPU quota throttled it."""
        facts = dict(line.split() for line in (self.cpu / "cpu.stat").read_text().splitlines())
        return int(facts["throttled_time"]) / 1e9 if self.v1 else int(facts["throttled_usec"]) / 1e6


@contextmanager
def boxed(name: str, *, cores: float | None, memory_mb: int | None) -> Iterator[Box]:
    """Create a group with these limits (memory in MiB), and remove it afterwards."""
    v1 = (_ROOT / "memory").is_dir()
    group = f"loadstone-bench-{name}-{os.getpid()}"
    cpu, memory = (_ROOT / "cpu" / group, _ROOT / "memory" / group) if v1 else (_ROOT / group, _ROOT / group)
    for folder in {cpu, memory}:
        folder.mkdir()
    box = Box(cpu=cpu, memory=memory, v1=v1)
    try:
        _limit(box, cores, memory_mb)
        yield box
    finally:
        for folder in {cpu, memory}:
            _remove(folder)


def _limit(box: Box, cores: float | None, memory_mb: int | None) -> None:
    if cores is not None:
        quota = str(int(cores * _PERIOD_US))
        name, text = ("cpu.cfs_quota_us", quota) if box.v1 else ("cpu.max", f"{quota} {_PERIOD_US}")
        (box.cpu / name).write_text(text)
    if memory_mb is not None:
        name = "memory.limit_in_bytes" if box.v1 else "memory.max"
        (box.memory / name).write_text(str(memory_mb * 2**20))


def _remove(folder: Path) -> None:
    """Remove the group once its last process has exited."""
    remove: Callable[[], None] = folder.rmdir
    for _ in range(50):
        try:
            return remove()
        except OSError:
            time.sleep(0.1)
    return remove()
