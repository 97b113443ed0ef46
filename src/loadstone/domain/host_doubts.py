"""Whether the machine of the workers had no CPU left, so that a target that was not at its own limit looked slow.

A latency, a rate or a count that fails is doubted when the CPUs of some worker's machine were above 95 % busy or
stolen (mean over the window), and the target had room of its own:

=====================================================  ===================================================
the target's usage (service ``target``)                a failing objective
=====================================================  ===================================================
below 95 % of its CPU limit, and not throttled         is inconclusive: the target waited for a CPU
at 95 % of its limit or more                           fails: the target is the bottleneck
throttled in more than 5 % of its periods (mean)       fails, likewise
about one core (0.95 to 1.05) for each container       fails: a server with one thread cannot use more
no limit, one core or more for each container          fails, likewise
never measured                                         is inconclusive if a worker lagged by half the limit
=====================================================  ===================================================

An objective that holds on such a machine would hold on a better one, and is not doubted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.doubt import Doubt, about, depends_on_workers, workers_text
from loadstone.domain.generator_doubts import BUSY_PCT, lag_limit_ms
from loadstone.domain.objective import number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts, ServiceUsage, UsageProblem, WorkerFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = ["TARGET", "doubts_of_the_host", "doubts_of_usage", "usage_notices"]

TARGET: Final = "target"
"""The service under which the target's usage is recorded."""
_AT_LIMIT: Final = 0.95
_ONE_CORE: Final = (0.95, 1.05)
_THROTTLED_PCT: Final = 5.0


def doubts_of_the_host(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[Doubt]:
    """The doubt by the rule at the top of this module, if there is one."""
    full = [worker for worker in facts.workers if _out_of_cpu(worker)]
    failed = [
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if result.ok is False and depends_on_workers(objective) and _is_about_speed(objective)
    ]
    if not full or not failed:
        return
    target = facts.usage.get(TARGET)
    lagged = any((worker.lag_p99_ms or 0) > lag_limit_ms(objectives) / 2 for worker in full)
    if lagged if target is None else not _at_own_limit(target):
        where = "; ".join([_target_text(target), *_queue_texts(facts), _generator_text(facts)])
        yield about(f"{_host_text(full)}. Where the time was: {where}. {', '.join(failed)} may hold on a host "
                    "with CPU to spare", failed)  # fmt: skip


def doubts_of_usage(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[Doubt]:
    """Objectives of usage, where figures of containers were missing for a part of the window."""
    for problem in facts.usage_problems:
        if _is_doubted(objectives, problem):
            yield Doubt(f"for {problem.missing} s of the window: {problem.text}", lambda each: each.is_usage)


def usage_notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    """What else the sampler said was wrong with the figures of containers."""
    for problem in facts.usage_problems:
        if not _is_doubted(objectives, problem):
            yield f"for {problem.ticks} s of the window: {problem.text}"


def _is_doubted(objectives: Sequence[Objective], problem: UsageProblem) -> bool:
    return bool(problem.missing) and any(objective.is_usage for objective in objectives)


def _is_about_speed(objective: Objective) -> bool:
    """Whether more CPU could make it hold: shorter latencies, higher rates."""
    return objective.operator[0] == ("<" if objective.is_latency else ">")


def _out_of_cpu(worker: WorkerFacts) -> bool:
    return worker.host_busy_pct is not None and worker.host_busy_pct + (worker.host_stolen_pct or 0.0) > BUSY_PCT


def _at_own_limit(target: ServiceUsage) -> bool:
    if (target.throttled_mean_pct or 0.0) > _THROTTLED_PCT:
        return True
    each = target.cpu_cores / target.containers
    if target.cpu_limit:
        return target.cpu_cores >= _AT_LIMIT * target.cpu_limit or _ONE_CORE[0] <= each <= _ONE_CORE[1]
    return each >= _AT_LIMIT


def _host_text(full: Sequence[WorkerFacts]) -> str:
    worst = max(full, key=lambda worker: (worker.host_busy_pct or 0.0) + (worker.host_stolen_pct or 0.0))
    whose = workers_text([worker.worker for worker in full])
    parts = [f"{number_text(worst.host_busy_pct or 0.0)} % busy"]
    if worst.host_stolen_pct:
        parts.append(f"{number_text(worst.host_stolen_pct)} % stolen by other virtual machines")
    if worst.host_waiting_pct is not None:
        parts.append(f"tasks waited for a CPU {number_text(worst.host_waiting_pct)} % of the time")
    return f"the host of {whose} was out of CPU ({', '.join(parts)})"


def _target_text(target: ServiceUsage | None) -> str:
    if target is None:
        return "the target's usage was not measured"
    used = f"the target used {number_text(target.cpu_cores)}"
    limit = f"{used} of its {number_text(target.cpu_limit)} cores" if target.cpu_limit else f"{used} cores, unlimited,"
    return f"{limit} and was {_throttled_text(target.throttled_mean_pct)}"


def _throttled_text(throttled_pct: float | None) -> str:
    if not throttled_pct:
        return "not throttled"
    return f"throttled in {number_text(throttled_pct)} % of its periods"


def _queue_texts(facts: RunFacts) -> Iterator[str]:
    for service, queue in facts.queues.items():
        waited = f"{number_text(queue.mean)} requests on average, {queue.highest} at most"
        yield f"in the balancer's queue for {service} waited {waited}"


def _generator_text(facts: RunFacts) -> str:
    cpu = max(worker.cpu_pct for worker in facts.workers)
    lags = [worker.lag_p99_ms for worker in facts.workers if worker.lag_p99_ms is not None]
    lag = f" and lagged by at most {number_text(max(lags))} ms (p99)" if lags else ""
    return f"the generator's workers used at most {number_text(cpu)} % of a core{lag}"
