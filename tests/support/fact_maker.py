"""Makes the facts of a sound run, to be spoilt one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from loadstone.domain.facts import RunFacts, ServiceUsage, Window, WorkerFacts
from loadstone.domain.ledger import Ledger
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import Rollup, merged, roll_up

__all__ = ["facts", "rollup_of", "service", "worker"]

SECOND = 1_000_000_000


def rollup_of(durations_us: list[int], failed: int = 0) -> Rollup:
    """A rollup of these durations, the first ``failed`` of which failed."""
    n = len(durations_us)
    if not n:
        return Rollup()
    zeros = np.zeros(n, np.int64)
    return roll_up(zeros, zeros, np.array(durations_us, np.int64), zeros, np.arange(n) < failed)[0, 0]


def worker(number: int = 0, **changes: Any) -> WorkerFacts:
    """A worker that is well."""
    well: dict[str, Any] = {"lag_p99_ms": 1.0, "throttled_us": 0, "cpu_pct": 30.0, "clock_offset_ms": 0.0}
    return WorkerFacts(worker=number, **(well | changes))


def service(**changes: Any) -> ServiceUsage:
    """A service at half of its two cores and a quarter of its 1000 bytes."""
    usage: dict[str, Any] = {
        "ticks": 10,
        "cpu_cores": 1.0,
        "cpu_cores_max": 1.8,
        "cpu_limit": 2.0,
        "mem_bytes": 250,
        "mem_limit": 1000,
        "mem_pct": 25.0,
    }
    return ServiceUsage(**(usage | changes))


def facts(durations_us: list[int] | None = None, *, failed: int = 0, **changes: Any) -> RunFacts:
    """A sound run of 10 s: 1 to 100 ms, evenly, unless told otherwise."""
    names = {RequestName("POST", "/predict"): rollup_of(durations_us or [ms * 1000 for ms in range(1, 101)], failed)}
    names = changes.pop("names", names)
    total = merged(names.values())
    sound: dict[str, Any] = {
        "window": Window(100 * SECOND, 110 * SECOND),
        "names": names,
        "total": total,
        "usage": {"target": service()},
        "workers": (worker(0), worker(1)),
        "ledger": Ledger(produced=total.n, stored=total.n),
    }
    return RunFacts(**(sound | changes))
