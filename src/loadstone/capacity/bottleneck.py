"""Bottleneck: what limited a target that did not hold, told from the figures of its trial.

The first of these that applies is named:

1. *memory*: a replica was killed for want of it, or ended while it held nearly all that it may.
2. *balancer*: one replica works twice as hard as another, so what is there is not used.
3. *CPU quota*: a replica was throttled, or used nearly all that it may where nobody counts throttling.
4. *one core per process*: a replica used about one core, may use clearly more, and was not throttled. A process whose
   threads take turns (Python's GIL, one event loop) cannot use a second core: more workers or replicas help.
5. *balancer*: requests waited in its queue although the replicas had CPU to spare.
6. *memory*: a replica held nearly all that it may; it reads from disk again what it had to drop.
7. *downstream*: latency is over its limit, and neither CPU nor memory is used much: the target waits for something.

Otherwise the cause is *unknown*, and the sentence says what the figures were. The limits of these rules are those at
which a latency of several requests in a hundred can be explained; each is told where it is defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.capacity.study_record import BottleneckRecord
from loadstone.domain.objective import number_text
from loadstone.domain.units import MIB
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.archive.run_record import BalancerRecord
    from loadstone.capacity.used import Used

__all__ = ["Symptoms", "bottleneck_of"]

_THROTTLED_PCT: Final = 5.0
"""Of fewer periods too few requests in a hundred are slowed down to matter at p95; verdicts use the same limit."""
_AT_QUOTA: Final = 0.95
"""Share of a CPU limit from which on it is reached: a mean over seconds seldom comes nearer."""
_ONE_CORE: Final = (0.85, 1.1)
"""Cores of a process that is busy all the time with one thread: less for what it waits, more for what other threads do
without the lock."""
_CLEARLY_LARGER: Final = 1.25
"""Cores; a limit below this is a quota that such a process feels as well."""
_UNEVEN: Final = 2.0
"""How many times as much the busiest replica uses; chance explains less than that over a window."""
_WORTH_TELLING: Final = 0.2
"""Cores; replicas that use less than this differ for many reasons."""
_QUEUE: Final = 1.0
"""Requests in the queue on average: at any time one waits."""
_FULL: Final = 0.95
"""Share of a memory limit at which the kernel takes pages back before every allocation."""
_NEARLY_FULL: Final = 0.9
"""Share of it that a replica held when it ended: what it held last is up to a second old."""
_LITTLE: Final = 0.6
"""Share of what it may use, or of one core if it may use more, that leaves even a single thread room."""
_LITTLE_MEMORY: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptoms:
    """What is known of a trial that did not hold.

    ``missed``: the missed objectives with their values, in one text, or what became of the target.
    ``is_slow``: one of them is on latency. ``ended``: a replica exited. ``used`` is None where nobody measured it, and
    ``balancer`` where there is none, or nobody asked it.
    """

    missed: str
    is_slow: bool = True
    ended: bool = False
    used: Used | None = None
    balancer: BalancerRecord | None = None


def bottleneck_of(symptoms: Symptoms) -> BottleneckRecord:
    """What limited the target; see the module's docstring."""
    used = symptoms.used
    if used is None or (used.busiest_cores is None and used.peak_mem_bytes is None):
        return BottleneckRecord(
            cause="unknown",
            evidence=f"{symptoms.missed}; CPU and memory of the target were not measured",
            cure="Let its usage be recorded: --target-pid for a process, the stack's usage service for containers",
        )
    found = (rule(symptoms, used) for rule in _RULES)
    return next((each for each in found if each is not None), _unknown(symptoms, used))


def _short_of_memory(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    if used.kills:
        of = f" of {memory_text(used.mem_limit)}" if used.mem_limit else ""
        evidence = f"the kernel killed processes {_times(used.kills)} for want of memory, at the limit{of}"
    elif (symptoms.ended or used.away) and _memory_share(used) >= _NEARLY_FULL:
        evidence = f"a replica ended while it held {_memory_use(used)}"
    else:
        return None
    return BottleneckRecord(
        cause="memory", evidence=evidence, cure="Give each replica more memory, or share the load between more of them"
    )


def _uneven(_symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    busiest, idlest = used.busiest_cores, used.idlest_cores
    if busiest is None or idlest is None or busiest < _WORTH_TELLING or busiest < _UNEVEN * idlest:
        return None
    return BottleneckRecord(
        cause="balancer",
        evidence=f"the busiest replica used {_cores(busiest)} cores and the least busy one {_cores(idlest)}",
        cure="Let the balancer share requests evenly, such as by least connections instead of by the client's address",
    )


def _throttled(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    share, limit, cores = used.throttled_pct, used.cpu_limit, used.busiest_cores
    if share is not None and share > _THROTTLED_PCT:
        of = f" of {_cores(limit)} CPU" if limit else ""
        evidence = f"the CPU quota{of} throttled it in {_share(share)} of the periods"
    elif share is None and limit and cores is not None and cores >= _AT_QUOTA * limit:
        evidence = f"it used {_cores(cores)} of its {_cores(limit)} cores"
    else:
        return None
    return BottleneckRecord(
        cause="cpu quota",
        evidence=f"{evidence}, and {symptoms.missed}",
        cure="Give each replica more CPU, or share the load between more replicas",
    )


def _one_core(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    cores, limit = used.busiest_cores, used.cpu_limit
    if cores is None or not _ONE_CORE[0] <= cores <= _ONE_CORE[1]:
        return None
    if limit is not None and limit < _CLEARLY_LARGER:
        return None
    of = f" of the {_cores(limit)} that it may use" if limit else ""
    unthrottled = "" if used.throttled_pct is None else ", and was not throttled"
    return BottleneckRecord(
        cause="one core per process",
        evidence=f"it used {_cores(cores)} cores{of}{unthrottled}, while {symptoms.missed}",
        cure="Give it more worker processes or replicas: a process with one busy thread cannot use more CPU",
    )


def _queued(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    balancer = symptoms.balancer
    if balancer is None or balancer.queue_mean < _QUEUE or _cpu_share(used) >= _AT_QUOTA:
        return None
    return BottleneckRecord(
        cause="balancer",
        evidence=(
            f"{number_text(balancer.queue_mean)} requests waited in the balancer's queue on average, "
            f"{balancer.queue_max:,} at most, while {_cpu_use(used)}"
        ),
        cure="Let the balancer send more requests at a time to each replica (HAProxy: maxconn)",
    )


def _full(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    if _memory_share(used) < _FULL:
        return None
    return BottleneckRecord(
        cause="memory",
        evidence=f"a replica held {_memory_use(used)}, and {symptoms.missed}",
        cure="Give each replica more memory",
    )


def _waits(symptoms: Symptoms, used: Used) -> BottleneckRecord | None:
    cores = used.busiest_cores
    may_use = min(used.cpu_limit or 1.0, 1.0)
    if not symptoms.is_slow or symptoms.ended or used.away or cores is None:
        return None
    if cores >= _LITTLE * may_use or _memory_share(used) >= _LITTLE_MEMORY:
        return None
    return BottleneckRecord(
        cause="downstream",
        evidence=f"{_cpu_use(used)}, and {_memory_use(used)} were held, while {symptoms.missed}",
        cure="See what the target waits for: a database, another service, a lock, or a pool of threads or connections",
    )


_RULES: Final[tuple[Callable[[Symptoms, Used], BottleneckRecord | None], ...]] = (
    *(_short_of_memory, _uneven, _throttled, _one_core, _queued, _full, _waits),
)


def _unknown(symptoms: Symptoms, used: Used) -> BottleneckRecord:
    parts = [symptoms.missed]
    if used.away:
        parts.append(f"{', '.join(used.away)} ended under load")
    if used.busiest_cores is not None:
        parts.append(_cpu_use(used))
    if used.peak_mem_bytes is not None:
        parts.append(f"{_memory_use(used)} were held")
    cure = "Its log says why it ended" if used.away or symptoms.ended else ""
    return BottleneckRecord(cause="unknown", evidence="; ".join(parts), cure=cure)


def _cpu_share(used: Used) -> float:
    return (used.busiest_cores or 0.0) / used.cpu_limit if used.cpu_limit else 0.0


def _memory_share(used: Used) -> float:
    return (used.peak_mem_bytes or 0) / used.mem_limit if used.mem_limit else 0.0


def _cpu_use(used: Used) -> str:
    of = f" of its {_cores(used.cpu_limit)}" if used.cpu_limit else ""
    throttled = "" if used.throttled_pct is None else f", throttled in {_share(used.throttled_pct)} of the periods"
    return f"the busiest replica used {_cores(used.busiest_cores)}{of} cores{throttled}"


def _memory_use(used: Used) -> str:
    held = "an unknown amount of memory" if used.peak_mem_bytes is None else _mib(used.peak_mem_bytes)
    return f"{held} of its {memory_text(used.mem_limit)}" if used.mem_limit else held


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f}m"


def _cores(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _share(percent: float) -> str:
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"  # noqa: PLR2004


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
