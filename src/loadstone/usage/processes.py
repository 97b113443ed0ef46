"""Usage of processes on this machine, their children included, by psutil."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from loadstone.domain.event import Usage
from loadstone.host.cgroup import cgroup_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.host.cgroup import Cgroup

__all__ = ["ProcessTree"]


@dataclass(slots=True)
class ProcessTree:
    """One root process with its children, sampled as one container is.

    CPU time of a child that ends between two samples is counted up to the sample before.
    """

    root: psutil.Process
    service: str
    _cpu_s: dict[tuple[int, float], float] = field(default_factory=dict)
    _sampled_at_s: float | None = None
    _throttling: tuple[int, int] | None = None

    @classmethod
    def of(cls, pid: int, service: str) -> ProcessTree | None:
        """The tree below a process; None when it is gone."""
        try:
            return cls(psutil.Process(pid), service)
        except psutil.NoSuchProcess:
            return None

    def sample(self, now_s: float) -> Usage | None:
        """Usage since the last sample; ``now_s`` is a monotonic clock. None for the first one, and when it is gone."""
        cpu_s, mem_bytes = self._read()
        before, self._cpu_s = self._cpu_s, cpu_s
        sampled_at_s, self._sampled_at_s = self._sampled_at_s, now_s
        cgroup = cgroup_of(self.root.pid)
        throttled_pct = self._throttled_pct(cgroup)
        if not cpu_s or sampled_at_s is None or now_s <= sampled_at_s:
            return None
        spent_s = sum(max(0.0, total - before.get(key, 0.0)) for key, total in cpu_s.items())
        limits = cgroup.limits() if cgroup else None
        return Usage(
            service=self.service,
            container=str(self.root.pid),
            cpu_cores=round(spent_s / (now_s - sampled_at_s), 4),
            cpu_limit=limits.cpu_cores if limits else None,
            throttled_pct=throttled_pct,
            mem_bytes=mem_bytes,
            mem_limit=limits.mem_bytes if limits else None,
        )

    def _read(self) -> tuple[dict[tuple[int, float], float], int]:
        cpu_s: dict[tuple[int, float], float] = {}
        mem_bytes = 0
        for process in self._members():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    mem_bytes += process.memory_info().rss
                    cpu_s[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        return cpu_s, mem_bytes

    def _members(self) -> Iterator[psutil.Process]:
        yield self.root
        try:
            yield from self.root.children(recursive=True)
        except psutil.Error:
            return

    def _throttled_pct(self, cgroup: Cgroup | None) -> float | None:
        now = cgroup.throttling() if cgroup else None
        before, self._throttling = self._throttling, now
        if now is None or before is None:
            return None
        periods = now[0] - before[0]
        return round(100 * (now[1] - before[1]) / periods, 1) if periods > 0 else 0.0
