"""Calibration: what the generator can do by itself, from a run of the same users against an answer that costs nothing.

No target is faster than that answer, so no trial asks for more: a generator that carries this carries every trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.capacity.study_record import CalibrationRecord
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from loadstone.archive.closed_run import ClosedRun

__all__ = ["calibrated", "calibration_text"]

_MOST_BUSY_PCT: Final = 70.0
"""Of a core that a worker may use; what is left is for moments that are busier than the mean."""
_WHOLE_CORE_PCT: Final = 100.0
_USERS_SHARE: Final = 0.99


def calibrated(run: ClosedRun, users: int) -> CalibrationRecord | None:
    """What a calibration run of so many users shows; None if its scenario could send nothing to such an answer.

    Raises `UsageError` when its users did not all run, or a worker was too busy: the generator is too small for them.
    """
    record, figures = run.record, run.record.judged.total
    busiest = max(record.worker_health, key=lambda worker: worker.cpu_pct, default=None)
    if record.users_peak < _USERS_SHARE * users:
        raise UsageError(
            f"the generator does not carry {users:,} users: {record.users_peak:,} ran against an answer that costs"
            f" nothing (run {record.id})",
            hint="Add workers on other machines, or ask for fewer users",
        )
    if busiest is None or not figures.rps:
        return None
    ceiling = figures.rps * _WHOLE_CORE_PCT / max(busiest.cpu_pct, 1.0)
    if busiest.cpu_pct > _MOST_BUSY_PCT:
        raise UsageError(
            f"the generator does not carry {users:,} users: against an answer that costs nothing, worker"
            f" {busiest.worker} used {busiest.cpu_pct:.0f} % of a core at {figures.rps:,.0f} requests/s, and may use"
            f" {_MOST_BUSY_PCT:.0f} % (run {record.id})",
            hint="Add workers, on other machines where this one has no more free cores, or ask for fewer users",
        )
    return CalibrationRecord(
        run=record.id,
        rps=figures.rps,
        p95_ms=figures.p95_ms,
        worker_cpu_pct=busiest.cpu_pct,
        ceiling_rps=ceiling,
        cores=sum(worker.cpu_pct for worker in record.worker_health) / _WHOLE_CORE_PCT,
    )


def calibration_text(found: CalibrationRecord | None) -> str:
    """One sentence for people."""
    if found is None:
        return "the generator alone could not be measured: the scenario sends nothing to an answer that costs nothing"
    return (
        f"the generator alone: {found.rps:,.0f} requests/s against an answer that costs nothing, its busiest worker at"
        f" {found.worker_cpu_pct:.0f} % of a core, so about {found.ceiling_rps:,.0f} requests/s at most"
    )
