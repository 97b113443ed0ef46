"""Verdict: pass, fail or inconclusive, with every reason (design.md, "Verdict").

A *doubt* is a flaw of the measurement: a reason, and the objectives whose result it could have changed.

1. The run was interrupted: exit 130, regardless of everything else.
2. The target exited under load: fail.
3. A part of the platform exited and could not be restarted: exit 4.
4. An objective fails that no doubt affects: fail. A flawless measurement would not have changed that.
5. Any doubt, or an objective that could not be measured: inconclusive.
6. Otherwise: pass. Without objectives that means that the measurement is sound.

Dropped and unknown samples are a doubt only if they could change an objective. Each objective is evaluated twice more:
as if all of them had ended in the window and succeeded in no time, and as if all of them had failed slowly. "Slowly" is
slower than any limit for percentiles, and as slow as the slowest sample for mean and max, because an unbounded duration
would miss any limit on a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from loadstone.domain.counted import difference_from_locust, notices_of_counts
from loadstone.domain.histogram import Histogram
from loadstone.domain.objective import number_text
from loadstone.domain.rollup import MAX_DURATION_US, Rollup
from loadstone.domain.time import US_PER_S
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
_THROTTLED_SHARE: Final = 0.01
"""A worker counts as throttled when its cgroup throttled it for more than this share of the window."""
_BUSY_PCT: Final = 95.0
"""A worker counts as out of CPU above this percentage of one core: an event loop cannot use more than one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a run as a word and an exit code, the reasons for it, and notices that did not affect it."""

    word: VerdictWord
    exit_code: ExitCode
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    objectives: tuple[ObjectiveResult, ...]


@dataclass(frozen=True, slots=True)
class _Doubt:
    reason: str
    affects: Callable[[Objective], bool]


def judge(objectives: Sequence[Objective], facts: RunFacts, problems: Sequence[str] = ()) -> Verdict:
    """The verdict on a run, by the rules at the top of this module.

    ``problems`` describe objectives that could not be parsed; they count as not measured.
    """
    results = tuple(objective.evaluate(facts) for objective in objectives)
    doubts = list(_doubts(objectives, results, facts))
    unmeasured = [*problems, *(result.reason for result in results if result.ok is None)]
    failed = [
        (result, any(doubt.affects(objective) for doubt in doubts))
        for objective, result in zip(objectives, results, strict=True)
        if result.ok is False
    ]
    word, exit_code = _word(facts, clear_failure=not all(doubted for _, doubted in failed), sound=not doubts)
    if word == PASS and unmeasured:
        word, exit_code = INCONCLUSIVE, ExitCode.INCONCLUSIVE
    reasons = [*_early_ends(facts), *(r.reason for r, _ in failed), *(d.reason for d in doubts), *unmeasured]
    return Verdict(
        word=word,
        exit_code=exit_code,
        reasons=tuple(dict.fromkeys(reasons)),
        notices=tuple(_notices(objectives, facts)),
        objectives=results,
    )


def lag_limit_ms(objectives: Sequence[Objective]) -> float:
    """How far a worker's event loop may lag (p99, ms): 10, or 5 % of the tightest latency objective if that is more."""
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


def _early_ends(facts: RunFacts) -> Iterator[str]:
    if facts.interrupted:
        yield "the run was interrupted"
    if facts.target_exited:
        yield f"the target exited under load ({_exit_code_text(facts.target_exit_code)})"
    for part, code in facts.crashed.items():
        yield f"{part} exited ({_exit_code_text(code)}) and could not be restarted"


def _exit_code_text(code: int | None) -> str:
    return "exit code unknown" if code is None else f"exit code {code}"


def _doubts(objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts) -> Iterator[_Doubt]:
    yield from _doubts_of_the_run(facts)
    limit_ms = lag_limit_ms(objectives)
    for worker in facts.workers:
        reason = _overload(worker, limit_ms, facts)
        if reason:
            yield _Doubt(reason, _depends_on_workers)
    yield from _doubts_of_the_ledger(objectives, results, facts)


def _doubts_of_the_run(facts: RunFacts) -> Iterator[_Doubt]:
    if not facts.window.opened:
        yield _Doubt("the ramp-up never finished, so the run never reached its target load", _any_request)
    if not facts.total.n:
        yield _Doubt("no request at all in the window", _any_request)
    if facts.master_lost:
        yield _Doubt("master lost: it never reported the end of the run", _any_request)
    if facts.lost_workers and not facts.users_moved:
        yield _Doubt(f"{_workers(facts)} lost, and not all users were restarted on other workers", _any_request)
    offsets = [worker.clock_offset_ms for worker in facts.workers if worker.clock_offset_ms is not None]
    if offsets and (spread := max(offsets) - min(offsets)) > MAX_CLOCK_SPREAD_MS:
        limit = number_text(MAX_CLOCK_SPREAD_MS)
        yield _Doubt(
            f"the clocks of the workers differ by {number_text(spread)} ms; at most {limit} ms are allowed",
            _any_request,
        )


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
    if worker.cpu_pct > _BUSY_PCT:
        causes.append(f"it used {number_text(worker.cpu_pct)} % of a core")
    return causes


def _doubts_of_the_ledger(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[_Doubt]:
    if difference := difference_from_locust(facts):
        yield _Doubt(difference, _any_request)
    ledger = facts.ledger
    extra = ledger.unknown + ledger.dropped + ledger.off_by
    changed = {
        objective.text
        for objective, result in zip(objectives, results, strict=True)
        if extra and result.ok is not None and _could_change(objective, result, facts, extra)
    }
    if ledger.unbalanced:
        workers = ", ".join(ledger.unbalanced)
        reason = f"the ledger is out of balance by {ledger.off_by} requests (worker processes {workers})"
        yield _Doubt(reason, lambda objective: objective.text in changed)
    elif changed:
        counts = f"{ledger.unknown} unknown and {ledger.dropped} dropped requests"
        yield _Doubt(
            f"{counts} could change the result of {', '.join(sorted(changed))}",
            lambda objective: objective.text in changed,
        )


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
    """An overloaded worker sends fewer requests and measures longer times; it does not make requests fail."""
    return objective.is_latency or objective.metric in {"rps", "count"}


def _workers(facts: RunFacts) -> str:
    one = len(facts.lost_workers) == 1
    return f"worker{'' if one else 's'} {', '.join(map(str, facts.lost_workers))} {'was' if one else 'were'}"


def _notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    if facts.lost_workers and facts.users_moved:
        yield f"{_workers(facts)} lost; all users run on other workers"
    for part, times in facts.restarted.items():
        yield f"{part} exited and was restarted {times} time{'s' if times > 1 else ''}"
    if facts.ledger.unknown or facts.ledger.dropped:
        yield f"{facts.ledger.dropped} requests were dropped, and at most {facts.ledger.unknown} are unknown"
    if facts.aborted:
        yield f"{facts.aborted} requests were cut off in flight when users stopped"
    if facts.total.err and not any(objective.metric == "failures" for objective in objectives):
        share = number_text(100 * facts.total.err_ratio)
        yield f"{facts.total.err} of {facts.total.n} requests failed ({share} %); no objective limits failures"
    if facts.odd:
        yield f"{facts.odd} request events had a value that cannot be stored and was replaced: {facts.odd_example}"
    if facts.total.untimed:
        yield f"{facts.total.untimed} of {facts.total.n} requests have no response time; latencies are of the others"
    if facts.names_capped:
        yield "too many request names: those beyond the limit are counted together as __other__"
    yield from notices_of_counts(objectives, facts)
    yield from facts.damage
