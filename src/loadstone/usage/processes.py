"""Usage of processes on this machine, their children included."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadstone.domain.usage_tick import Usage
from loadstone.host.cgroup import cgroup_of
from loadstone.host.processes import TreeReading, process_of, read_tree

if TYPE_CHECKING:
    import psutil

    from loadstone.host.cgroup import Cgroup, Throttling

__all__ = ["ProcessTree"]


@dataclass(slots=True)
class ProcessTree:
    """One root process with its children, sampled as one container is.

    CPU time of a child that ends between two samples is counted up to the sample before. Out-of-memory kills are those
    in its control group, unless this process is in that group too: then they may be of anything.
    """

    root: psutil.Process
    service: str
    ended: bool = False
    """Whether a sample has found it gone; that one still tells what it was killed for."""
    _group: Cgroup | None = None
    _kills: int = 0
    _before: TreeReading = field(default_factory=lambda: TreeReading({}, 0))
    _sampled_at_s: float | None = None
    _throttling: Throttling | None = None

    @classmethod
    def of(cls, pid: int, service: str) -> ProcessTree | None:
        """The tree below a process; None when it is gone."""
        root = process_of(pid)
        if root is None:
            return None
        group = cgroup_of(pid)
        own = group if group != cgroup_of(os.getpid()) else None
        return cls(root, service, _group=own, _kills=(own.memory_kills() if own else None) or 0)

    def sample(self, now_s: float) -> Usage | None:
        """Usage since the last sample; ``now_s`` is a monotonic clock. None for the first one, and when it is gone."""
        now = read_tree(self.root)
        before, self._before = self._before, now
        sampled_at_s, self._sampled_at_s = self._sampled_at_s, now_s
        cgroup = cgroup_of(self.root.pid)
        throttled_pct = self._throttled_pct(cgroup)
        oom = self._new_kills()
        self.ended = not now.cpu_s
        if self.ended and oom:
            return self._killed(oom)
        if not now.cpu_s or sampled_at_s is None or now_s <= sampled_at_s:
            return None
        limits = cgroup.limits() if cgroup else None
        return Usage(
            service=self.service,
            container=str(self.root.pid),
            cpu_cores=round(now.cpu_s_since(before) / (now_s - sampled_at_s), 4),
            cpu_limit=limits.cpu_cores if limits else None,
            throttled_pct=throttled_pct,
            mem_bytes=now.rss_bytes,
            mem_limit=limits.mem_bytes if limits else None,
            oom=oom,
        )

    def _killed(self, oom: int) -> Usage:
        """The row of a process that is gone because memory ran out."""
        limits = self._group.limits() if self._group else None
        return Usage(
            service=self.service,
            container=str(self.root.pid),
            cpu_cores=0.0,
            cpu_limit=limits.cpu_cores if limits else None,
            mem_limit=limits.mem_bytes if limits else None,
            oom=oom,
        )

    def _new_kills(self) -> int:
        """Out-of-memory kills since the last sample."""
        now = self._group.memory_kills() if self._group else None
        if now is None:
            return 0
        before, self._kills = self._kills, now
        return max(0, now - before)

    def _throttled_pct(self, cgroup: Cgroup | None) -> float | None:
        now = cgroup.throttling() if cgroup else None
        before, self._throttling = self._throttling, now
        if now is None or before is None:
            return None
        periods = now.periods - before.periods
        return round(100 * (now.throttled_periods - before.throttled_periods) / periods, 1) if periods > 0 else 0.0
