"""What a reader of figures has to know beside them: of what they are, and which model of users they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.domain.objective import number_text

if TYPE_CHECKING:
    from loadstone.archive.run_record import RunRecord

__all__ = [
    "CLOSED_MODEL",
    "OPEN_MODEL",
    "WHOLE_RUN",
    "arrivals_text",
    "figure_notes",
    "in_flight_text",
    "influx_notes",
    "model_text",
    "rate_text",
    "scope_of",
]

CLOSED_MODEL: Final = (
    "Closed model: a user waits for its answer before it sends the next request, so a target that slows down is asked "
    "less, and percentiles show too few of its slow answers"
)
OPEN_MODEL: Final = (
    "Open model: iterations begin when the schedule says so, whatever the target does. Latencies are response times, "
    "from the intended start to the answer; service times are from sent to answered"
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


def model_text(*runs: RunRecord) -> str:
    """Which model of users the figures of these runs come from, and what follows."""
    return ". ".join(dict.fromkeys(CLOSED_MODEL if run.judged.arrivals is None else OPEN_MODEL for run in runs))


def rate_text(run: RunRecord) -> str:
    """The stages of the rate of arrivals; empty under the closed model."""
    return ", then ".join(run.rate)


def arrivals_text(run: RunRecord) -> str:
    """What the generator of an open model did, in the part that objectives judge; empty under the closed model."""
    arrivals = run.judged.arrivals
    if arrivals is None:
        return ""
    late = "no iteration began"
    if arrivals.lateness_p99_ms is not None and arrivals.lateness_max_ms is not None:
        p99, most = number_text(arrivals.lateness_p99_ms), number_text(arrivals.lateness_max_ms)
        late = f"lateness p99 {p99} ms, max {most} ms"
    counts = f"{arrivals.planned:,} planned, {arrivals.sent:,} sent, {arrivals.not_sent:,} not sent"
    if arrivals.cut_off:
        counts += f", {arrivals.cut_off:,} cut off"
    return f"arrivals in {scope_of(run)}: {counts}; {late}"


def figure_notes(run: RunRecord) -> list[str]:
    """A sentence on the scope of the figures that objectives judge, one on arrivals if any, and one on the model."""
    scope = f"Figures are of {scope_of(run)}; {in_flight_text(run)}"
    return [note for note in (scope, arrivals_text(run), model_text(run)) if note]


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
