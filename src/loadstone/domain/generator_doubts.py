"""Whether the load generator measured the target or itself: lag, stalls and pauses.

1. *Short lags.* The 99th percentile of a worker's lag is above the limit (`lag_limit_ms`), or above half of it while
   the worker was short of CPU.
2. *Long lags.* The percentile weighs a stop of 3 s as one measurement among hundreds, so lags are weighed by time too:
   the loop was late beyond the limit for more than 5 % of the window. So long users rested, and the target with them.
3. *Stalls that matter.* An objective fails, and would hold if every request had been as much shorter as its worker
   stood still while it was in flight; had those not failed that spanned a stall of a second or more; or, for the rate,
   had users gone on at their mean rate meanwhile. An objective that holds all the same is not doubted.
4. *Pauses.* Every worker and the master stood still together for two seconds or more, or a machine was suspended: the
   target may have stood still with them, so nothing that was measured about requests counts.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from loadstone.domain.doubt import Doubt, about, any_request, depends_on_workers, time_text
from loadstone.domain.histogram import Histogram
from loadstone.domain.objective import number_text
from loadstone.domain.rollup import Rollup
from loadstone.domain.stall import FAILING_STALL_US, Span, common_spans, spans_of
from loadstone.domain.standstill import standstills
from loadstone.domain.time import NS_PER_S, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts, WorkerFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = [
    "BUSY_PCT",
    "LAG_FLOOR_MS",
    "doubts_of_the_generator",
    "lag_limit_ms",
    "pauses",
    "stall_notices",
    "tightest_ms",
]

LAG_FLOOR_MS: Final = 10.0
_LAG_SHARE: Final = 0.05
_LATE_PCT: Final = 5.0
"""For how much of the window a loop may be late beyond the limit."""
_PAUSE_NS: Final = 2 * NS_PER_S
_THROTTLED_SHARE: Final = 0.01
"""A worker counts as throttled when its cgroup throttled it for more than this share of the window."""
BUSY_PCT: Final = 95.0
"""Above this percentage of one core a worker counts as out of CPU, since an event loop cannot use more than one; above
this percentage of all CPUs, its machine does."""


def lag_limit_ms(objectives: Sequence[Objective]) -> float:
    """How far a worker's event loop may lag (p99, ms): 10, or 5 % of the tightest latency objective if that is more."""
    return max(LAG_FLOOR_MS, _LAG_SHARE * tightest_ms(objectives))


def tightest_ms(objectives: Sequence[Objective]) -> float:
    """The lowest upper limit of any latency, ms; 0 without one."""
    limits = [objective.limit for objective in objectives if objective.is_latency and objective.operator[0] == "<"]
    return min(limits, default=0.0)


def doubts_of_the_generator(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[Doubt]:
    """The doubts by the rules at the top of this module."""
    limit_ms = lag_limit_ms(objectives)
    for worker in facts.workers:
        reason = _overload(worker, limit_ms, facts) or _late(worker, limit_ms)
        if reason:
            yield Doubt(reason, depends_on_workers)
    yield from _pauses(facts)
    disturbed = _disturbed(objectives, results, facts)
    if disturbed:
        longest = "; ".join(_stall_text(worker) for worker in facts.workers if worker.stalls)
        yield about(f"{longest}: without that, {', '.join(disturbed)} could have held", disturbed)


def stall_notices(facts: RunFacts) -> Iterator[str]:
    """What people should know about stalls of a second or more, whether or not they matter."""
    for worker in facts.workers:
        if worker.longest_stall and worker.longest_stall.length_us >= FAILING_STALL_US:
            yield _stall_text(worker)


def pauses(facts: RunFacts) -> list[Span]:
    """When every worker and the master stood still together for two seconds or more."""
    common = common_spans(standstills(facts.workers), facts.master_gaps)
    return [span for span in common if span.length_ns >= _PAUSE_NS]


def _overload(worker: WorkerFacts, limit_ms: float, facts: RunFacts) -> str:
    """Why a worker measured itself rather than the target; empty if it was not too busy."""
    lag = worker.lag_p99_ms
    if lag is None or lag <= limit_ms / 2:
        return ""
    causes = _shortages(worker, facts.window.seconds)
    if lag <= limit_ms and not causes:
        return ""
    figures = f"{number_text(lag)} ms (p99, limit {number_text(limit_ms)} ms)"
    reason = f"worker {worker.worker}'s event loop lagged by {figures}"
    return f"{reason}: {' and '.join(causes)}" if causes else reason


def _shortages(worker: WorkerFacts, window_s: float) -> list[str]:
    causes = []
    throttled_s = worker.throttled_us / US_PER_S
    if throttled_s > _THROTTLED_SHARE * window_s:
        causes.append(f"its cgroup throttled it for {number_text(throttled_s)} s")
    if worker.cpu_pct > BUSY_PCT:
        causes.append(f"it used {number_text(worker.cpu_pct)} % of a core")
    return causes


def _late(worker: WorkerFacts, limit_ms: float) -> str:
    if worker.late_pct is None or worker.late_pct <= _LATE_PCT:
        return ""
    late = f"{number_text(worker.late_pct)} % of the window (at most {number_text(_LATE_PCT)} % are allowed)"
    reason = f"worker {worker.worker}'s event loop was late by more than {number_text(limit_ms)} ms for {late}"
    return f"{reason}; {_stall_text(worker)}" if worker.stalls else reason


def _stall_text(worker: WorkerFacts) -> str:
    longest = worker.longest_stall
    if longest is None:
        return f"worker {worker.worker}'s event loop never stood still"
    length = f"{number_text(longest.length_us / US_PER_S)} s at {time_text(longest.end_ns)}"
    if len(worker.stalls) == 1:
        return f"worker {worker.worker}'s event loop stood still for {length}"
    return f"worker {worker.worker}'s event loop stood still {len(worker.stalls)} times, longest for {length}"


def _pauses(facts: RunFacts) -> Iterator[Doubt]:
    for span in pauses(facts):
        length = number_text(span.length_ns / NS_PER_S)
        also = " and the usage sampler" if common_spans([span], facts.usage_gaps) else ""
        yield Doubt(
            f"every worker, the master{also} stood still together for {length} s until {time_text(span.end_ns)}: "
            "they were stopped, or their machine was paused or overcommitted",
            any_request,
        )
    for worker in facts.workers:
        suspended_s = sum(stall.suspended_us for stall in worker.stalls) / US_PER_S
        if suspended_s:
            yield Doubt(f"worker {worker.worker}'s machine was suspended for {number_text(suspended_s)} s", any_request)


def _disturbed(objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts) -> list[str]:
    """The objectives that fail and would not have failed without stalls."""
    if facts.undisturbed is None:
        return []
    quickest, share = facts.quickest, _stalled_share(facts)
    texts = []
    for objective, result in zip(objectives, results, strict=True):
        if result.ok is False and not objective.is_usage:
            best = _going_on(objective, facts, share) if objective.metric in {"rps", "count"} else quickest
            if objective.evaluate(best).ok is not False:
                texts.append(objective.text)
    return texts


def _going_on(objective: Objective, facts: RunFacts, share: float) -> RunFacts:
    """The facts if users had gone on at their mean rate while their worker stood still."""
    missed = ceil(facts.select(objective.name).n * share / (1 - share)) if share < 1 else 0
    return facts.assuming(Rollup(missed, histogram=Histogram.of_one(0, missed))) if missed else facts


def _stalled_share(facts: RunFacts) -> float:
    """Share of the window, 0 to 1, in which workers stood still, their mean."""
    window = Span(facts.window.start_ns, facts.window.end_ns)
    if not facts.workers or window.length_ns <= 0:
        return 0.0
    within = [common_spans([window], spans_of(worker.stalls)) for worker in facts.workers]
    stalled_ns = sum(span.length_ns for spans in within for span in spans)
    return stalled_ns / (window.length_ns * len(facts.workers))
