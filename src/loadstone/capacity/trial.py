"""Trial: what one run says about the target: that it holds its load, that it does not, or nothing.

A trial is *invalid* when the run says nothing about the target, and it never counts as one that does not hold:

1. The run was interrupted, or its verdict is inconclusive: its own doubts are the reasons. Or it failed although all
   objectives held, because the scenario judged it otherwise.
2. Fewer than 99 % of the users ran.
3. A worker used more than 80 % of a core: it may have sent later or less than its users wanted.
4. It holds, but its latency was still growing when the window ended: it might not hold for longer.

Memory that runs out, and a target that exits under load, decide by themselves: it does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from loadstone.capacity.margin import margin_of
from loadstone.capacity.steady import still_grows
from loadstone.capacity.study_record import TrialRecord
from loadstone.domain.event import TargetExited
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.gate.seconds import ALL, read_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import RunRecord
    from loadstone.capacity.margin import Margin
    from loadstone.rig.rig import Setting

__all__ = ["Outcome", "Trial", "TrialPlan", "judge_trial", "record_of"]

_USERS_SHARE: Final = 0.99
_BUSY_WORKER_PCT: Final = 80.0


class Outcome(StrEnum):
    """What a trial says."""

    HOLDS = "holds"
    FAILS = "does not hold"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """A run with so many users, measured for so long after ramp and warm-up; under these limits, if any are given."""

    users: int
    window_s: float
    setting: Setting | None = None

    @property
    def what(self) -> str:
        """What it tries, for people."""
        return f"{self.users:,} users" if self.setting is None else str(self.setting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a run says. ``reasons``: why it does not hold, or is invalid; empty where it holds.

    ``margin`` is None where the trial is invalid, or the target ``broke``: ran out of memory, or exited.
    """

    run: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    margin: Margin | None = None
    broke: bool = False


def judge_trial(run: ClosedRun, users: int, service: str | None = None) -> Trial:
    """What a run of so many users says of the target, which is this service in the figures of CPU and memory.

    Raises `UsageError` without an objective, and `ArchiveError`.
    """
    record = run.record
    if broken := tuple(_broken(run, service)):
        return Trial(run=record.id, outcome=Outcome.FAILS, reasons=broken, broke=True)
    if flaws := tuple(_flaws(record, users)):
        return Trial(run=record.id, outcome=Outcome.INVALID, reasons=flaws)
    margin = margin_of(run)
    if missed := _missed(record):
        return Trial(run=record.id, outcome=Outcome.FAILS, reasons=missed, margin=margin)
    if record.exit_code:
        return Trial(run=record.id, outcome=Outcome.INVALID, reasons=record.reasons)
    if still_grows(read_seconds(run)[ALL]):
        growing = "its latency was still growing at the end of the window; a longer --warmup lets it settle"
        return Trial(run=record.id, outcome=Outcome.INVALID, reasons=(growing,))
    return Trial(run=record.id, outcome=Outcome.HOLDS, margin=margin)


def record_of(run: ClosedRun, plan: TrialPlan) -> TrialRecord:
    """A run as a trial of a study. Raises what `judge_trial` raises."""
    trial, figures = judge_trial(run, plan.users), run.record.judged.total
    return TrialRecord(
        users=plan.users,
        window_s=plan.window_s,
        run=trial.run,
        outcome=trial.outcome.value,
        reasons=trial.reasons,
        broke=trial.broke,
        margin=trial.margin.value if trial.margin else None,
        margin_se=trial.margin.se if trial.margin else 0.0,
        objective=trial.margin.objective if trial.margin else "",
        rps=figures.rps,
        failures_pct=figures.failures_pct,
        mean_ms=figures.mean_ms,
        p95_ms=figures.p95_ms,
        p99_ms=figures.p99_ms,
        max_ms=figures.max_ms,
    )


def _broken(run: ClosedRun, service: str | None) -> Iterator[str]:
    record = run.record
    used = record.usage.get(service) if service is not None else None
    if used is not None and used.oom:
        yield f"{service} ran out of memory: {used.oom} kill{'s' if used.oom > 1 else ''}"
    exits = [event for event in run.events() if isinstance(event.payload, TargetExited)]
    if any(event.at_ns <= record.window.end_ns for event in exits):
        yield "the target exited under load"


def _flaws(record: RunRecord, users: int) -> Iterator[str]:
    if record.verdict == INCONCLUSIVE:
        missed = _missed(record)
        yield from (reason for reason in record.reasons if reason not in missed)
    if record.users_peak < _USERS_SHARE * users:
        yield f"only {record.users_peak:,} of {users:,} users ran"
    for worker in record.worker_health:
        if worker.cpu_pct > _BUSY_WORKER_PCT:
            yield f"worker {worker.worker} used {worker.cpu_pct:.0f} % of a core; more workers share the load"


def _missed(record: RunRecord) -> tuple[str, ...]:
    return tuple(objective.reason for objective in record.objectives if objective.ok is False)
