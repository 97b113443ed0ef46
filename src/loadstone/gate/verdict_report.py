"""VerdictReport: what JUnit XML and Markdown say about a run, or about the comparison of two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.archive.figure_notes import figure_notes, model_text
from loadstone.domain.objective import number_text
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.gate.compare import change_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.archive.run_record import Figures, RunRecord
    from loadstone.gate.compare import Change, Comparison

__all__ = [
    "ALL_REQUESTS",
    "CHANGE_HEADER",
    "Check",
    "VerdictReport",
    "change_row",
    "report_of_comparison",
    "report_of_run",
]

ALL_REQUESTS: Final = "all requests"
"""The label of all request names together."""
CHANGE_HEADER: Final = ("request", "metric", "base", "run", "change", "interval", "different")
"""Titles of the cells of `change_row`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of a report; ``ok`` is None if it is undecided.

    ``seconds``: how long its measurements took; None if that is as long as those of the whole report.
    """

    name: str
    ok: bool | None
    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport:
    """A title, a verdict, the checks behind it, and one table of figures, the totals first, as people read them."""

    title: str
    verdict: str
    seconds: float
    checks: Sequence[Check]
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def report_of_run(run: RunRecord) -> VerdictReport:
    """The report of one run. Its first check is whether the measurement is sound."""
    part = run.judged
    return VerdictReport(
        title=f"loadstone run {run.id}",
        verdict=run.verdict,
        seconds=run.window.seconds,
        checks=[_soundness(run), *(Check(name=each.text, ok=each.ok, reason=each.reason) for each in run.objectives)],
        notes=[*run.notices, *figure_notes(run)],
        header=("request", "requests", "failures", "req/s", "p50 ms", "p95 ms", "p99 ms"),
        rows=[
            _run_row(ALL_REQUESTS, part.total),
            *(_run_row(figures.request_name.label, figures) for figures in part.names),
        ],
    )


def report_of_comparison(comparison: Comparison) -> VerdictReport:
    """The report of a comparison. Its first check is whether the measurements are sound, where that decides."""
    results = [Check(name=each.text, ok=each.ok, reason=each.reason) for each in comparison.results]
    scope = f"Figures are of both windows. {model_text(comparison.base, comparison.run)}"
    return VerdictReport(
        title=f"loadstone compare {comparison.base.id} {comparison.run.id}",
        verdict=comparison.verdict,
        seconds=comparison.run.window.seconds,
        checks=[*_soundness_of_both(comparison), *results],
        notes=[*comparison.setup_differences, *comparison.doubts, scope],
        header=CHANGE_HEADER,
        rows=[change_row(change) for change in comparison.changes],
    )


def change_row(change: Change) -> tuple[str, ...]:
    """One change as people read it: a cell for each title of `CHANGE_HEADER`."""
    different = "unknown" if change.interval is None else "yes" if change.differs else "no"
    label = change.name.label or ALL_REQUESTS
    return (label, change.metric, _text(change.base), _text(change.run), *change_texts(change), different)


def _soundness(run: RunRecord) -> Check:
    """Whether the measurement can be trusted: every reason of the verdict that is not an objective's own."""
    of_objectives = {each.reason for each in run.objectives}
    doubts = [reason for reason in run.reasons if reason not in of_objectives]
    unsound = None if run.verdict == INCONCLUSIVE else False
    return Check(name="the measurement is sound", ok=unsound if doubts else True, reason="; ".join(doubts))


def _soundness_of_both(comparison: Comparison) -> list[Check]:
    """Doubts make a verdict inconclusive; without objectives there is none, and they are only notes."""
    if not (comparison.doubts and comparison.results):
        return []
    return [Check(name="both measurements are sound", ok=None, reason="; ".join(comparison.doubts))]


def _run_row(label: str, figures: Figures) -> tuple[str, ...]:
    failures = f"{figures.failures:,} ({number_text(figures.failures_pct)} %)"
    numbers = (figures.rps, figures.p50_ms, figures.p95_ms, figures.p99_ms)
    return (label, f"{figures.requests:,}", failures, *map(_text, numbers))


def _text(value: float | None) -> str:
    return "-" if value is None else number_text(value)
