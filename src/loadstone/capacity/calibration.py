"""Calibration: what the generator can do by itself, from a run of the same load against an answer that costs nothing.

No target is faster than that answer, so no trial asks for more: a generator that carries this carries every trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.capacity.study_record import CalibrationRecord
from loadstone.domain.verdict import FAIL, INCONCLUSIVE
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import RunRecord
    from loadstone.capacity.load import Load

__all__ = ["calibrated", "calibration_text", "cores_used"]

_MOST_BUSY_PCT: Final = 70.0
"""Of a core that a worker may use; what is left is for moments that are busier than the mean."""
_WHOLE_CORE_PCT: Final = 100.0
_SHARE: Final = 0.99
"""Of the load that has to be there."""


def calibrated(run: ClosedRun, load: Load) -> CalibrationRecord:
    """What a calibration run of this load shows; without a ceiling where it is inconclusive.

    Raises `UsageError` when its users did not all run, its arrivals were not all sent, a worker was too busy, or an
    objective on latency is missed even then: the generator is too small for it.
    """
    record, figures = run.record, run.record.judged.total
    busiest = max(record.worker_health, key=lambda worker: worker.cpu_pct, default=None)
    less = "a lower rate" if load.is_rate else "fewer users"
    if shown := _shortfall(record, load):
        raise UsageError(
            f"the generator does not carry {load}: {shown} against an answer that costs nothing (run {record.id})",
            hint=f"Add workers on other machines, or ask for {less}",
        )
    rps, busy_pct = figures.rps or 0.0, busiest.cpu_pct if busiest else 0.0
    if busiest and busy_pct > _MOST_BUSY_PCT:
        raise UsageError(
            f"the generator does not carry {load}: against an answer that costs nothing, worker"
            f" {busiest.worker} used {busy_pct:.0f} % of a core at {rps:,.0f} requests/s, and may use"
            f" {_MOST_BUSY_PCT:.0f} % (run {record.id})",
            hint=f"Add workers, on other machines where this one has no more free cores, or ask for {less}",
        )
    if record.verdict == FAIL and (missed := [each.reason for each in record.objectives if each.ok is False]):
        raise UsageError(
            f"the generator does not carry {load}: against an answer that costs nothing, {missed[0]} (run {record.id})",
            hint=f"Give it cores of its own, add workers on other machines, or ask for {less}",
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


def _shortfall(record: RunRecord, load: Load) -> str:
    """What was missing from the load, if more than a hundredth was; else empty."""
    if not load.is_rate:
        return f"{record.users_peak:,} ran" if record.users_peak < _SHARE * load.amount else ""
    arrivals = record.judged.arrivals
    if arrivals is None or arrivals.sent >= _SHARE * arrivals.planned:
        return ""
    return f"{arrivals.sent:,} of {arrivals.planned:,} arrivals were sent"


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
