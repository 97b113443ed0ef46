"""Calibration: what the generator can do by itself, from a run of the same users against an answer that costs nothing.

No target is faster than that answer, so no trial asks for more: a generator that carries this carries every trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.capacity.study_record import CalibrationRecord
from loadstone.domain.verdict import FAIL, INCONCLUSIVE
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from loadstone.archive.closed_run import ClosedRun

__all__ = ["calibrated", "calibration_text", "cores_used"]

_MOST_BUSY_PCT: Final = 70.0
"""Of a core that a worker may use; what is left is for moments that are busier than the mean."""
_WHOLE_CORE_PCT: Final = 100.0
_USERS_SHARE: Final = 0.99


def calibrated(run: ClosedRun, users: int) -> CalibrationRecord:
    """What a calibration run of so many users shows; without a ceiling where it is inconclusive.

    Raises `UsageError` when its users did not all run, a worker was too busy, or an objective on latency is missed even
    then: the generator is too small for them.
    """
    record, figures = run.record, run.record.judged.total
    busiest = max(record.worker_health, key=lambda worker: worker.cpu_pct, default=None)
    if record.users_peak < _USERS_SHARE * users:
        raise UsageError(
            f"the generator does not carry {users:,} users: {record.users_peak:,} ran against an answer that costs"
            f" nothing (run {record.id})",
            hint="Add workers on other machines, or ask for fewer users",
        )
    rps, busy_pct = figures.rps or 0.0, busiest.cpu_pct if busiest else 0.0
    if busiest and busy_pct > _MOST_BUSY_PCT:
        raise UsageError(
            f"the generator does not carry {users:,} users: against an answer that costs nothing, worker"
            f" {busiest.worker} used {busy_pct:.0f} % of a core at {rps:,.0f} requests/s, and may use"
            f" {_MOST_BUSY_PCT:.0f} % (run {record.id})",
            hint="Add workers, on other machines where this one has no more free cores, or ask for fewer users",
        )
    if record.verdict == FAIL and (missed := [each.reason for each in record.objectives if each.ok is False]):
        raise UsageError(
            f"the generator does not carry {users:,} users: against an answer that costs nothing, {missed[0]} (run"
            f" {record.id})",
            hint="Give it cores of its own, add workers on other machines, or ask for fewer users",
        )
    doubts = record.reasons if record.verdict == INCONCLUSIVE else ()
    return CalibrationRecord(
        run=record.id,
        doubts=doubts,
        rps=rps,
        p95_ms=figures.p95_ms,
        worker_cpu_pct=busy_pct,
        ceiling_rps=None if doubts else rps * _WHOLE_CORE_PCT / max(busy_pct, 1.0),
        cores=cores_used(run),
    )


def cores_used(run: ClosedRun) -> float:
    """What all workers of a run used together."""
    return round(sum(worker.cpu_pct for worker in run.record.worker_health) / _WHOLE_CORE_PCT, 2)


def calibration_text(found: CalibrationRecord) -> str:
    """One sentence for people."""
    if found.ceiling_rps is None:
        more = f" (and {len(found.doubts) - 1} more)" if len(found.doubts) > 1 else ""
        return (
            f"the generator alone could not be measured: run {found.run} is inconclusive: {found.doubts[0]}{more}; it"
            f" sent {found.rps:,.0f} requests/s and used {found.cores:g} cores"
        )
    return (
        f"the generator alone: {found.rps:,.0f} requests/s against an answer that costs nothing, its busiest worker at"
        f" {found.worker_cpu_pct:.0f} % of a core, so about {found.ceiling_rps:,.0f} requests/s at most"
    )
