"""Verdict: pass, fail or inconclusive, with every reason (design.md, "Verdict").

What is wrong with a measurement is a *doubt*: a reason, and the objectives whose result it could have changed.

1. Interrupted: exit 130, whatever else is true.
2. The target ended under load: fail.
3. A part of the platform stayed away: exit 4.
4. An objective fails that no doubt touches: fail. What is wrong with the measurement could not have saved it.
5. Any doubt, or an objective that could not be measured: inconclusive.
6. Otherwise: pass. Without objectives that means that the measurement is sound.

Samples that are dropped or unknown are a doubt only if they could change an objective: each one is evaluated again as
if all of them had come in the window and succeeded in no time, and as if all had failed slowly: slower than any limit
for percentiles, as slow as the slowest sample for mean and max, because an unbounded duration would make any mean bad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from loadstone.domain.histogram import Histogram
from loadstone.domain.objective import number_text
from loadstone.domain.rollup import MAX_DURATION_US, Rollup
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loadstone.domain.facts import RunFacts, WorkerFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = ["FAIL", "INCONCLUSIVE", "MAX_CLOCK_SPREAD_MS", "PASS", "Verdict", "VerdictWord", "judge", "lag_limit_ms"]

VerdictWord = Literal["pass", "fail", "inconclusive"]
PASS: Final = "pass"  # noqa: S105 (a verdict, not a password)
FAIL: Final = "fail"
INCONCLUSIVE: Final = "inconclusive"

MAX_CLOCK_SPREAD_MS: Final = 100.0
"""How far the clocks of two workers may be apart (design.md, "The contracts")."""
_LAG_FLOOR_MS: Final = 10.0
_LAG_SHARE: Final = 0.05
_HELD_BACK_SHARE: Final = 0.01
"""A worker counts as held back when its cgroup stopped it for more than this share of the window."""
_BUSY_PCT: Final = 95.0
"""A worker counts as out of CPU above this share of one core: an event loop cannot use more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The word for a run, its exit code, why, and what else a reader should know."""

    word: VerdictWord
    exit_code: ExitCode
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    objectives: tuple[ObjectiveResult, ...]


@dataclass(frozen=True, slots=True)
class _Doubt:
    reason: str
    touches: Callable[[Objective], bool]


def judge(objectives: Sequence[Objective], facts: RunFacts, problems: Sequence[str] = ()) -> Verdict:
    """The verdict on a run, by the rules at the top of this module.

    ``problems`` tell of objectives that could not be understood; they count as not measured.
    """
    results = tuple(objective.evaluate(facts) for objective in objectives)
    doubts = list(_doubts(objectives, results, facts))
    unmeasured = [*problems, *(result.reason for result in results if result.ok is None)]
    failed = [
        (result, any(doubt.touches(objective) for doubt in doubts))
        for objective, result in zip(objectives, results, strict=True)
        if result.ok is False
    ]
    word, exit_code = _word(facts, clear_failure=not all(doubted for _, doubted in failed), sound=not doubts)
    if word == PASS and unmeasured:
        word, exit_code = INCONCLUSIVE, ExitCode.INCONCLUSIVE
    reasons = [*_what_ended_it(facts), *(r.reason for r, _ in failed), *(d.reason for d in doubts), *unmeasured]
    return Verdict(
        word=word,
        exit_code=exit_code,
        reasons=tuple(dict.fromkeys(reasons)),
        notices=tuple(_notices(objectives, facts)),
        objectives=results,
    )


def lag_limit_ms(objectives: Sequence[Objective]) -> float:
    """How late a worker's event loop may be (p99, ms): 10, or 5 % of the tightest latency objective if that is more."""
    limits = [objective.limit for objective in objectives if objective.is_latency and objective.operator[0] == "<"]
    return max(_LAG_FLOOR_MS, _LAG_SHARE * min(limits, default=0.0))


def _word(facts: RunFacts, *, clear_failure: bool, sound: bool) -> tuple[VerdictWord, ExitCode]:
    if facts.interrupted:
        return INCONCLUSIVE, ExitCode.INTERRUPTED
    if facts.target_exited:
        return FAIL, ExitCode.FAIL
    if facts.crashed:
        return INCONCLUSIVE, ExitCode.PLATFORM
    if clear_failure:
        return FAIL, ExitCode.FAIL
    return (PASS, ExitCode.PASS) if sound else (INCONCLUSIVE, ExitCode.INCONCLUSIVE)


def _what_ended_it(facts: RunFacts) -> Iterator[str]:
    if facts.interrupted:
        yield "interrupted"
    if facts.target_exited:
        yield f"the target ended under load (exit code {facts.target_exit_code})"
    for part, code in facts.crashed.items():
        yield f"{part} ended (exit code {code}) and did not come back"


def _doubts(objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts) -> Iterator[_Doubt]:
    yield from _doubts_of_the_run(facts)
    limit_ms = lag_limit_ms(objectives)
    for worker in facts.workers:
        reason = _gasping(worker, limit_ms, facts)
        if reason:
            yield _Doubt(reason, _depends_on_workers)
    yield from _doubts_of_the_ledger(objectives, results, facts)


def _doubts_of_the_run(facts: RunFacts) -> Iterator[_Doubt]:
    if not facts.window.opened:
        yield _Doubt("the ramp was never done, so the load that was asked for was never there", _any_request)
    if not facts.total.n:
        yield _Doubt("no request at all in the window", _any_request)
    if facts.master_lost:
        yield _Doubt("master lost: the run has no end that its master told", _any_request)
    if facts.lost_workers and not facts.users_moved:
        lost = ", ".join(map(str, facts.lost_workers))
        yield _Doubt(f"worker {lost} was lost and not all of its users came back elsewhere", _any_request)
    offsets = [worker.clock_offset_ms for worker in facts.workers if worker.clock_offset_ms is not None]
    if offsets and (spread := max(offsets) - min(offsets)) > MAX_CLOCK_SPREAD_MS:
        limit = number_text(MAX_CLOCK_SPREAD_MS)
        yield _Doubt(
            f"the clocks of the workers are {number_text(spread)} ms apart, at most {limit} ms are allowed",
            _any_request,
        )


def _gasping(worker: WorkerFacts, limit_ms: float, facts: RunFacts) -> str:
    """Why a worker measured itself rather than the target; empty when it did not."""
    lag = worker.lag_p99_ms
    if lag is None or lag <= limit_ms / 2:
        return ""
    causes = _shortages(worker, facts.window.seconds)
    if lag <= limit_ms and not causes:
        return ""
    late = f"worker {worker.worker}'s event loop was {number_text(lag)} ms late (p99, limit {number_text(limit_ms)} ms)"
    return f"{late}: {' and '.join(causes)}" if causes else late


def _shortages(worker: WorkerFacts, window_s: float) -> list[str]:
    causes = []
    throttled_s = worker.throttled_us / 1e6
    if throttled_s > _HELD_BACK_SHARE * window_s:
        causes.append(f"its cgroup held it back for {number_text(throttled_s)} s")
    if worker.cpu_pct > _BUSY_PCT:
        causes.append(f"it used {number_text(worker.cpu_pct)} % of a core")
    return causes


def _doubts_of_the_ledger(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[_Doubt]:
    ledger = facts.ledger
    extra = ledger.unknown + ledger.dropped + ledger.off_by
    changed = {
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if extra and result.ok is not None and _could_change(objective, result, facts, extra)
    }
    if ledger.unbalanced:
        reason = (
            f"the ledger is out of balance by {ledger.off_by} samples (incarnations {', '.join(ledger.unbalanced)})"
        )
        yield _Doubt(reason, lambda objective: objective.text in changed)
    elif changed:
        counts = f"{ledger.unknown} unknown and {ledger.dropped} dropped samples"
        yield _Doubt(f"{counts} could change {', '.join(sorted(changed))}", lambda objective: objective.text in changed)


def _could_change(objective: Objective, result: ObjectiveResult, facts: RunFacts, extra: int) -> bool:
    if objective.is_usage:
        return False
    slow_us = MAX_DURATION_US if objective.percent is not None else facts.total.rt_max_us
    guesses = (_guess(extra, 0, failed=0), _guess(extra, slow_us, failed=extra))
    return any(objective.evaluate(facts.assuming(guess)).ok != result.ok for guess in guesses)


def _guess(count: int, duration_us: int, *, failed: int) -> Rollup:
    histogram = Histogram.of_one(duration_us, count)
    return Rollup(count, failed, count * duration_us, duration_us, duration_us, 0, histogram)


def _any_request(objective: Objective) -> bool:
    return not objective.is_usage


def _depends_on_workers(objective: Objective) -> bool:
    """A gasping worker sends less and measures longer; it does not make requests fail."""
    return objective.is_latency or objective.metric in {"rps", "count"}


def _notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    if facts.lost_workers and facts.users_moved:
        lost = ", ".join(map(str, facts.lost_workers))
        yield f"worker {lost} was lost; its users moved to the others"
    for part, times in facts.restarted.items():
        yield f"{part} ended and was started again, {times} time{'s' if times > 1 else ''}"
    if facts.ledger.unknown or facts.ledger.dropped:
        yield f"{facts.ledger.dropped} samples were dropped, at most {facts.ledger.unknown} are unknown"
    if facts.aborted:
        yield f"{facts.aborted} requests were cut off in flight when users stopped"
    if facts.total.err and not any(objective.metric == "failures" for objective in objectives):
        share = number_text(100 * facts.total.err_ratio)
        yield f"{facts.total.err} of {facts.total.n} requests failed ({share} %); no objective judges failures"
    if facts.names_capped:
        yield "too many request names: the last ones are counted together as __other__"
    if facts.locust_requests is not None and facts.locust_requests != facts.ledger.stored:
        yield f"Locust counted {facts.locust_requests} requests, the archive holds {facts.ledger.stored}"
    yield from facts.damage
