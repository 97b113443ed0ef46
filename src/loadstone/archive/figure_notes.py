"""What a reader of figures has to know beside them: of what they are, and that they come from a closed model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.objective import number_text

if TYPE_CHECKING:
    from loadstone.archive.run_record import RunRecord

__all__ = ["CLOSED_MODEL", "WHOLE_RUN", "figure_notes", "in_flight_text", "influx_notes", "scope_of"]

CLOSED_MODEL: Final = (
    "Closed model: a user waits for its answer before it sends the next request, so a target that slows down is asked "
    "less, and percentiles show too few of its slow answers"
)
WHOLE_RUN: Final = "the whole run"


def scope_of(run: RunRecord) -> str:
    """Of what the figures are that objectives judge."""
    if not run.window.opened:
        return f"{WHOLE_RUN}, because its ramp-up never finished"
    return f"the window of {number_text(run.window.seconds)} s"


def in_flight_text(run: RunRecord) -> str:
    """How many requests in flight the latencies of the window include."""
    found = run.in_flight
    return (
        f"latencies of the window include {found.ended_later:,} requests in flight at its end and "
        f"{found.cut:,} cut off; {found.failed:,} of these count as failures"
    )


def figure_notes(run: RunRecord) -> list[str]:
    """A sentence on the scope of the figures that objectives judge, and one on the model."""
    return [f"Figures are of {scope_of(run)}; {in_flight_text(run)}", CLOSED_MODEL]


def influx_notes(run: RunRecord) -> list[str]:
    """What InfluxDB rejected and what it lacks, with the reasons; nothing where it has everything."""
    influx, notes = run.ledgers.influx, []
    if influx and (influx.rejected or influx.points_rejected):
        more = f" and {influx.points_rejected:,} other points" if influx.points_rejected else ""
        reason = influx.rejected_reason or "the reason is unknown"
        first = f". The first line: {influx.first_rejected}" if influx.first_rejected else ""
        notes.append(f"InfluxDB rejected {influx.rejected:,} requests{more}: {reason}{first}")
    if influx and influx.pending:
        reason = f": {influx.pending_reason}" if influx.pending_reason else ""
        notes.append(f"InfluxDB lacks {influx.pending:,} requests{reason}")
    return notes
