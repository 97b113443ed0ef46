"""Verdict: pass, fail or inconclusive, with every reason (design.md, "Verdict").

A *doubt* is a flaw of the measurement: a reason, and the objectives whose result it could have changed.

1. The run was interrupted: exit 130, regardless of everything else.
2. The target exited under load: fail.
3. A part of the platform exited and could not be restarted: exit 4.
4. Locust's exit code is not 0, and no objective judges what it stands for (`scenario_exit`): fail.
5. An objective fails that no doubt affects: fail. A flawless measurement would not have changed that.
6. Any doubt, or an objective that could not be measured: inconclusive.
7. Otherwise: pass. Without objectives that means that the measurement is sound.

Requests in flight count in every objective on latencies and failures (`loadstone.domain.in_flight`).

Dropped and unknown samples are a doubt only if they could change an objective. Each objective is evaluated twice more:
as if all of them had ended in the window and succeeded in no time, and as if all of them had failed slowly. "Slowly" is
slower than any limit for percentiles, and as slow as the slowest sample for mean and max, because an unbounded duration
would miss any limit on a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from loadstone.domain.arrival_doubts import arrival_doubts, arrival_notices
from loadstone.domain.clock_doubts import MAX_CLOCK_SPREAD_MS, clock_notices, doubts_of_the_clocks
from loadstone.domain.counted import difference_from_locust, notices_of_counts
from loadstone.domain.doubt import Doubt, any_objective, any_request, workers_text
from loadstone.domain.generator_doubts import doubts_of_the_generator, lag_limit_ms, stall_notices
from loadstone.domain.host_doubts import doubts_of_the_host, doubts_of_usage, usage_notices
from loadstone.domain.kept_pace import pace_notices
from loadstone.domain.objective import number_text
from loadstone.domain.rollup import MAX_DURATION_US, Rollup
from loadstone.domain.scenario_exit import exit_doubts, exit_notices, exit_reasons
from loadstone.domain.target_doubts import target_doubts, target_notices
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.domain.facts import RunFacts
    from loadstone.domain.objective import Objective, ObjectiveResult

__all__ = ["FAIL", "INCONCLUSIVE", "MAX_CLOCK_SPREAD_MS", "PASS", "Verdict", "VerdictWord", "judge", "lag_limit_ms"]

VerdictWord = Literal["pass", "fail", "inconclusive"]
PASS: Final = "pass"  # noqa: S105 (a verdict, not a password)
FAIL: Final = "fail"
INCONCLUSIVE: Final = "inconclusive"
_NO_START: Final = (
    "the event that starts the run, which holds its objectives, is missing: it was lost, or it was refused, and then "
    "the collector's log says why"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a run as a word and an exit code, the reasons for it, and notices that did not affect it."""

    word: VerdictWord
    exit_code: ExitCode
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    objectives: tuple[ObjectiveResult, ...]


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
    exits = tuple(exit_reasons(objectives, facts))
    clear_failure = bool(exits) or not all(doubted for _, doubted in failed)
    word, exit_code = _word(facts, clear_failure=clear_failure, sound=not doubts)
    if word == PASS and unmeasured:
        word, exit_code = INCONCLUSIVE, ExitCode.INCONCLUSIVE
    reasons = [*_early_ends(facts), *exits, *(r.reason for r, _ in failed), *(d.reason for d in doubts), *unmeasured]
    return Verdict(
        word=word,
        exit_code=exit_code,
        reasons=tuple(dict.fromkeys(reasons)),
        notices=tuple(_notices(objectives, facts)),
        objectives=results,
    )


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


def _doubts(objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts) -> Iterator[Doubt]:
    yield from _doubts_of_the_run(facts)
    yield from doubts_of_the_clocks(facts)
    yield from doubts_of_the_generator(objectives, results, facts)
    yield from arrival_doubts(objectives, results, facts)
    yield from doubts_of_the_host(objectives, results, facts)
    yield from _doubts_of_the_ledger(objectives, results, facts)
    yield from target_doubts(objectives, results, facts)
    yield from doubts_of_usage(objectives, facts)


def _doubts_of_the_run(facts: RunFacts) -> Iterator[Doubt]:
    if facts.salvaged_from:
        yield Doubt(
            f"salvaged from the damaged journal of run {facts.salvaged_from}, so parts are missing", any_objective
        )
    if not facts.start_known:
        yield Doubt(_NO_START, any_objective)
    if not facts.window.opened:
        yield Doubt("the ramp-up never finished, so the run never reached its target load", any_request)
    if not facts.total.n and not facts.target.in_flight.names:
        yield Doubt("no request at all in the window", any_request)
    if facts.master_lost:
        yield Doubt("master lost: it never reported the end of the run", any_request)
    for reason in exit_doubts(facts):
        yield Doubt(reason, any_request)
    if facts.silent_workers and not facts.salvaged_from:
        yield Doubt(_silent(facts.silent_workers), any_request)
    if facts.lost_workers and not facts.users_moved:
        lost = _workers(facts.lost_workers)
        yield Doubt(f"{lost} lost, and not all users were restarted on other workers", any_request)


def _doubts_of_the_ledger(
    objectives: Sequence[Objective], results: Sequence[ObjectiveResult], facts: RunFacts
) -> Iterator[Doubt]:
    if difference := difference_from_locust(facts):
        yield Doubt(difference, any_request)
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
        yield Doubt(reason, lambda objective: objective.text in changed)
    elif changed:
        counts = f"{ledger.unknown} unknown and {ledger.dropped} dropped requests"
        yield Doubt(
            f"{counts} could change the result of {', '.join(sorted(changed))}",
            lambda objective: objective.text in changed,
        )


def _could_change(objective: Objective, result: ObjectiveResult, facts: RunFacts, extra: int) -> bool:
    if objective.is_usage:
        return False
    slow_us = MAX_DURATION_US if objective.percent is not None else facts.total.rt_max_us
    guesses = (Rollup.of_one(0, extra, failed=0), Rollup.of_one(slow_us, extra, failed=extra))
    return any(objective.evaluate(facts.assuming(guess)).ok != result.ok for guess in guesses)


def _workers(workers: Sequence[int], one: str = "was", more: str = "were") -> str:
    return f"{workers_text(workers)} {one if len(workers) == 1 else more}"


def _silent(workers: Sequence[int]) -> str:
    took_part = _workers(workers, "took", "took")
    return f"{took_part} part in the run without recording it; start workers with `loadstone worker`"


def _notices(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    yield from _notices_of_processes(facts)
    yield from exit_notices(objectives, facts)
    yield from _notices_of_requests(objectives, facts)
    yield from usage_notices(objectives, facts)
    yield from facts.damage


def _notices_of_processes(facts: RunFacts) -> Iterator[str]:
    if facts.lost_workers and facts.users_moved:
        yield f"{_workers(facts.lost_workers)} lost; all users run on other workers"
    if facts.left_workers:
        yield f"{_workers(facts.left_workers, 'has', 'have')} left before the end; all requests until then are recorded"
    for part, times in facts.restarted.items():
        yield f"{part} exited and was restarted {times} time{'s' if times > 1 else ''}"
    yield from stall_notices(facts)
    yield from clock_notices(facts)


def _notices_of_requests(objectives: Sequence[Objective], facts: RunFacts) -> Iterator[str]:
    if facts.ledger.unknown or facts.ledger.dropped:
        yield f"{facts.ledger.dropped} requests were dropped, and at most {facts.ledger.unknown} are unknown"
    yield from arrival_notices(facts)
    yield from target_notices(facts)
    yield from pace_notices(objectives, facts)
    if facts.aborted and not facts.target.in_flight.cut:
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
