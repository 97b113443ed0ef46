"""Used: what the replicas of a service used in a run, from its usage table.

Figures are of one replica. CPU and throttling are means over the window; memory is the highest working set of the whole
run, because the ramp may need more than what follows. What was not seen is None, never zero:

- CPU and throttling, where less than half of the window's seconds were measured, or a replica was not there all the
  time: a mean over its absence would look like little use.
- What it held before the load, where no measurement is older than the first answer.

A replica that is missing from measurements in which others are was *away*: it ended, and may have been started again.
One that was away for less than `_AWAY_TICKS` measurements is not noticed; its requests failed all the same. A sampler
that measured nobody says nothing about the replicas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from loadstone.domain.time import MS_PER_S, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import WindowRecord

__all__ = ["Used", "used_by"]

_COLUMNS: Final = (
    *("at", "service", "container", "cpu_cores", "cpu_limit", "throttled_pct", "mem_bytes", "mem_limit", "oom"),
)
T = TypeVar("T", int, float)
_SEEN_SHARE: Final = 0.5
_AWAY_TICKS: Final = 2
"""One measurement may leave out a replica that is there: its figures came too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the replicas of a service used; see the module's docstring.

    ``replicas``: how many were seen in the window. ``cpu_cores``: mean use of one, over all of them; ``busiest_cores``
    and ``idlest_cores``: of those that used most and least. ``cpu_limits`` and ``mem_limits``: all that any of them had
    at any time, increasing, None at their end if one had none; ``cpu_limit`` and ``mem_limit``: the lowest, None where
    none had one. ``throttled_pct``: share of scheduling periods, of the most throttled one. ``peak_mem_bytes``: of
    the one that held most; one that was killed for want of memory held its limit. ``idle_mem_bytes``: what that one
    held before the load. ``kills``: for want of memory, in the whole run. ``away``: who ended before the window did.
    """

    replicas: int = 0
    cpu_cores: float | None = None
    busiest_cores: float | None = None
    idlest_cores: float | None = None
    cpu_limits: tuple[float | None, ...] = ()
    throttled_pct: float | None = None
    peak_mem_bytes: int | None = None
    idle_mem_bytes: int | None = None
    mem_limits: tuple[int | None, ...] = ()
    kills: int = 0
    away: tuple[str, ...] = ()

    @property
    def cpu_limit(self) -> float | None:
        """The lowest CPU limit that any had, cores; None where none had one."""
        return self.cpu_limits[0] if self.cpu_limits else None

    @property
    def mem_limit(self) -> int | None:
        """The lowest memory limit that any had, bytes; None where none had one."""
        return self.mem_limits[0] if self.mem_limits else None


class _Row(NamedTuple):
    at_ns: int
    cpu_cores: float
    cpu_limit: float | None
    throttled_pct: float | None
    mem_bytes: int
    mem_limit: int | None
    oom: int

    @property
    def is_there(self) -> bool:
        """A container that stays away after a kill has a row in which it uses nothing."""
        return bool(self.mem_bytes or self.cpu_cores)


def used_by(run: ClosedRun, service: str) -> Used:
    """What the replicas of a service used in a run. Raises `ArchiveError`."""
    ticks = _ticks(run)
    rows = {key[1]: found for key, found in _by_container(ticks).items() if key[0] == service}
    window = run.record.window
    there = {name: [row for row in of if row.is_there] for name, of in rows.items()}
    measured = {name: [row for row in of if _inside(row.at_ns, window)] for name, of in there.items()}
    measured = {name: of for name, of in measured.items() if of}
    kills = sum(row.oom for of in rows.values() for row in of)
    load_ns = _first_answer_ns(run)
    away = tuple(name for name in sorted(there) if _is_away((service, name), ticks, load_ns, window.end_ns))
    peak, idle = _memory(there, load_ns)
    used = Used(
        replicas=len(measured),
        cpu_limits=_limits([row.cpu_limit for row in of] for of in there.values()),
        peak_mem_bytes=peak,
        idle_mem_bytes=idle,
        mem_limits=_limits([row.mem_limit for row in of] for of in there.values()),
        kills=kills,
        away=away,
    )
    if kills and used.mem_limit:
        used = replace(used, peak_mem_bytes=max(peak or 0, used.mem_limit))
    return used if kills or away or not _is_enough(measured, window) else _with_cpu(used, measured)


def _ticks(run: ClosedRun) -> Mapping[int, dict[tuple[str, str], _Row]]:
    """What was measured at each moment, by service and container."""
    ticks: dict[int, dict[tuple[str, str], _Row]] = {}
    for batch in run.usage().batches(_COLUMNS):
        moments = np.asarray(batch.column("at").cast(pa.int64())).tolist()
        for at_ns, row in zip(moments, batch.drop_columns(["at"]).to_pylist(), strict=True):
            key = (row.pop("service"), row.pop("container"))
            ticks.setdefault(at_ns, {})[key] = _Row(at_ns=at_ns, **row)
    return dict(sorted(ticks.items()))


def _by_container(ticks: Mapping[int, Mapping[tuple[str, str], _Row]]) -> dict[tuple[str, str], list[_Row]]:
    found: dict[tuple[str, str], list[_Row]] = {}
    for rows in ticks.values():
        for key, row in rows.items():
            found.setdefault(key, []).append(row)
    return found


def _inside(at_ns: int, window: WindowRecord) -> bool:
    return window.start_ns <= at_ns < window.end_ns


def _first_answer_ns(run: ClosedRun) -> int | None:
    """When the second began in which the first request was answered; None without a request."""
    seconds: Any = run.rollups().read(["second"])["second"].cast(pa.int64()).to_numpy()
    return int(seconds.min()) // MS_PER_S * NS_PER_S if len(seconds) else None


def _limits(of_each: Iterable[Sequence[T | None]]) -> tuple[T | None, ...]:
    """The limits of all replicas at all times, None last; what comes before a replica's first one was not told yet."""
    found: set[T | None] = set()
    for limits in of_each:
        first = next((at for at, limit in enumerate(limits) if limit), 0)
        found |= {limit or None for limit in limits[first:]}
    return (*sorted(limit for limit in found if limit is not None), *((None,) if None in found else ()))


def _memory(there: Mapping[str, Sequence[_Row]], first_answer_ns: int | None) -> tuple[int | None, int | None]:
    """The highest working set, and what the same replica held before the first answer."""
    highest = max(there.values(), key=lambda rows: max((row.mem_bytes for row in rows), default=0), default=())
    peak = max((row.mem_bytes for row in highest), default=0)
    before = [row.mem_bytes for row in highest if first_answer_ns is None or row.at_ns < first_answer_ns + NS_PER_S]
    return peak or None, min((held for held in before if held), default=None)


def _is_away(
    key: tuple[str, str], ticks: Mapping[int, Mapping[tuple[str, str], _Row]], load_ns: int | None, end_ns: int
) -> bool:
    """Whether it is missing from some measurements under load in which those are that were measured with it before."""
    companions, missing = set[tuple[str, str]](), 0
    for at_ns, rows in ticks.items():
        if at_ns >= end_ns:
            break
        if key in rows and rows[key].is_there:
            companions |= rows.keys() - {key}
            missing = 0
        elif load_ns is not None and at_ns >= load_ns and companions & rows.keys():
            missing += 1
        if missing >= _AWAY_TICKS:
            return True
    return False


def _is_enough(measured: Mapping[str, Sequence[_Row]], window: WindowRecord) -> bool:
    return bool(measured) and all(len(rows) >= _SEEN_SHARE * window.seconds for rows in measured.values())


def _with_cpu(used: Used, measured: Mapping[str, Sequence[_Row]]) -> Used:
    cores = [fmean(row.cpu_cores for row in rows) for rows in measured.values()]
    known = [[row.throttled_pct for row in rows if row.throttled_pct is not None] for rows in measured.values()]
    throttled = [fmean(shares) for shares in known if shares]
    return replace(
        used,
        cpu_cores=fmean(cores),
        busiest_cores=max(cores),
        idlest_cores=min(cores),
        throttled_pct=max(throttled, default=None),
    )
