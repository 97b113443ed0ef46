"""What services used in the window, gathered from usage ticks: the facts of CPU, memory, kills and queues."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.domain.facts import QueueUse, ServiceUsage, UsageProblem
from loadstone.domain.stall import MISSED_NS, Span, without_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadstone.domain.facts import Window
    from loadstone.domain.usage_tick import Balance, Usage, UsageTick

__all__ = ["ServicesInWindow"]

_MOST_PROBLEMS: Final = 3


@dataclass(slots=True)
class _Service:
    ticks: int = 0
    cpu_sum: float = 0.0
    cpu_max: float = 0.0
    cpu_limit_sum: float = 0.0
    limited_ticks: int = 0
    mem_max: int = 0
    mem_limit: int | None = None
    mem_pct: float | None = None
    throttled_pct: float | None = None
    oom: int = 0
    throttled_sum: float = 0.0
    throttled_ticks: int = 0
    containers: int = 0


class ServicesInWindow:
    """Gathers what services used. At each tick the containers of a service are added up."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._services: dict[str, _Service] = {}
        self._ticked_ns: dict[str, int] = {}
        self._gaps: list[Span] = []
        self._balances: dict[str, list[Balance]] = {}
        self._requests: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()

    def take(self, tick: UsageTick) -> None:
        """Take in one tick that was not taken in before."""
        before_ns = self._ticked_ns.get(tick.source, tick.at_ns)
        self._ticked_ns[tick.source] = tick.at_ns
        if tick.at_ns - before_ns >= MISSED_NS:
            self._gaps.append(Span(before_ns, tick.at_ns))
        self._requests.update({each.service: each.requests for each in tick.balances if each.requests is not None})
        if tick.at_ns not in self._window:
            return
        if tick.problem:
            self._problems[tick.problem] += 1
            self._missing[tick.problem] += not tick.rows
        for balance in tick.balances:
            self._balances.setdefault(balance.service, []).append(balance)
        rows: dict[str, list[Usage]] = {}
        for row in tick.rows:
            rows.setdefault(row.service, []).append(row)
        for name, containers in rows.items():
            _add(self._services.setdefault(name, _Service()), containers)

    def facts(self) -> dict[str, ServiceUsage]:
        """One record per service that was seen in the window."""
        return {name: _service_usage(self._services[name]) for name in sorted(self._services)}

    def queues(self) -> dict[str, QueueUse]:
        """The balancer's queue for each service, in the window, what it had to try again, and what came in at all."""
        return {name: _queue_use(balances, self._requests.get(name)) for name, balances in self._balances.items()}

    def problems(self) -> tuple[UsageProblem, ...]:
        """What the samplers said was wrong in the window, the longest first."""
        said = self._problems.most_common(_MOST_PROBLEMS)
        return tuple(UsageProblem(text, ticks, self._missing[text]) for text, ticks in said)

    def gaps(self) -> tuple[Span, ...]:
        """When a sampler missed its ticks, in the whole run; ascending and without overlaps."""
        return tuple(without_overlaps(self._gaps))


def _add(service: _Service, containers: list[Usage]) -> None:
    cores = sum(row.cpu_cores for row in containers)
    service.ticks += 1
    service.cpu_sum += cores
    service.cpu_max = max(service.cpu_max, cores)
    limits = [row.cpu_limit for row in containers if row.cpu_limit]
    if len(limits) == len(containers):
        service.limited_ticks += 1
        service.cpu_limit_sum += sum(limits)
    _add_memory(service, containers)
    service.containers += len(containers)
    throttled_pct = _highest(None, (row.throttled_pct for row in containers))
    if throttled_pct is not None:
        service.throttled_sum += throttled_pct
        service.throttled_ticks += 1
    service.throttled_pct = _highest(service.throttled_pct, (row.throttled_pct for row in containers))
    service.oom += sum(row.oom for row in containers)  # each tick counts what is new since the tick before


def _add_memory(service: _Service, containers: list[Usage]) -> None:
    service.mem_max = max(service.mem_max, sum(row.mem_bytes for row in containers))
    limits = [row.mem_limit for row in containers if row.mem_limit]
    if len(limits) == len(containers):
        service.mem_limit = sum(limits)
    shares = (100 * row.mem_bytes / row.mem_limit for row in containers if row.mem_limit)
    service.mem_pct = _highest(service.mem_pct, shares)


def _queue_use(balances: Sequence[Balance], requests: int | None) -> QueueUse:
    waiting = [balance.queue for balance in balances]
    return QueueUse(
        mean=sum(waiting) / len(waiting),
        highest=max(waiting),
        retries=sum(balance.retries for balance in balances),
        redispatches=sum(balance.redispatches for balance in balances),
        requests=requests,
    )


def _highest(so_far: float | None, values: Iterable[float | None]) -> float | None:
    return max((value for value in (so_far, *values) if value is not None), default=None)


def _service_usage(service: _Service) -> ServiceUsage:
    limited = service.limited_ticks == service.ticks
    return ServiceUsage(
        ticks=service.ticks,
        cpu_cores=service.cpu_sum / service.ticks,
        cpu_cores_max=service.cpu_max,
        cpu_limit=service.cpu_limit_sum / service.ticks if limited else None,
        mem_bytes=service.mem_max,
        mem_limit=service.mem_limit,
        mem_pct=service.mem_pct,
        throttled_pct=service.throttled_pct,
        oom=service.oom,
        throttled_mean_pct=service.throttled_sum / service.throttled_ticks if service.throttled_ticks else None,
        containers=service.containers / service.ticks,
    )
