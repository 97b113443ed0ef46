"""CPU time and memory of a process together with its children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TreeReading", "process_of", "read_tree"]


@dataclass(frozen=True, slots=True)
class TreeReading:
    """CPU seconds so far of each process, by its id and creation time, and the memory (RSS) of all together."""

    cpu_s: dict[tuple[int, float], float]
    rss_bytes: int

    def cpu_s_since(self, before: TreeReading) -> float:
        """CPU seconds spent since an earlier reading, without those of processes that have ended meanwhile."""
        return sum(max(0.0, total_s - before.cpu_s.get(key, 0.0)) for key, total_s in self.cpu_s.items())


def process_of(pid: int) -> psutil.Process | None:
    """The process with this id; None when it is gone."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def read_tree(root: psutil.Process) -> TreeReading:
    """What a process and its children used so far; those that end meanwhile are left out."""
    cpu_s: dict[tuple[int, float], float] = {}
    rss_bytes = 0
    for process in _members(root):
        try:
            with process.oneshot():
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
                cpu_s[process.pid, process.create_time()] = times.user + times.system
        except psutil.Error:
            continue
    return TreeReading(cpu_s, rss_bytes)


def _members(root: psutil.Process) -> Iterator[psutil.Process]:
    yield root
    try:
        yield from root.children(recursive=True)
    except psutil.Error:
        return
