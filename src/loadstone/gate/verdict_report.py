"""VerdictReport: what JUnit XML and Markdown say, whether a run or a comparison was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadstone.domain.objective import number_text
from loadstone.domain.verdict import INCONCLUSIVE
from loadstone.gate.compare import change_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadstone.gate.compare import Change, Comparison

__all__ = ["Check", "VerdictReport", "report_of_comparison", "report_of_run", "request_label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that had to hold; ``ok`` None: it could not be told."""

    name: str
    ok: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport:
    """A title, a verdict, what was checked, and one table of figures."""

    title: str
    verdict: str
    seconds: float
    checks: Sequence[Check]
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def request_label(method: str, name: str) -> str:
    """A request name as people see it; all of them together have neither method nor name."""
    return f"{method} {name}".strip() or "all requests"


def report_of_run(run: Mapping[str, Any]) -> VerdictReport:
    """What a run.json says."""
    checks = [Check(name=each["text"], ok=each["ok"], reason=each["reason"]) for each in run["objectives"]]
    known = {check.reason for check in checks}
    doubts = [reason for reason in run["reasons"] if reason not in known]
    sound = None if run["verdict"] == INCONCLUSIVE else not doubts
    checks.insert(0, Check(name="the measurement is sound", ok=sound if doubts else True, reason="; ".join(doubts)))
    part = run["summary"]["window" if run["window"]["opened"] else "run"]
    names = [(request_label(row["method"], row["name"]), row) for row in part["names"]]
    return VerdictReport(
        title=f"loadstone run {run['id']}",
        verdict=run["verdict"],
        seconds=run["window"]["seconds"],
        checks=checks,
        notes=run["notices"],
        header=("request", "requests", "failures", "req/s", "p50 ms", "p95 ms", "p99 ms"),
        rows=[_run_row(label, row) for label, row in [*names, ("all requests", part["total"])]],
    )


def report_of_comparison(comparison: Comparison) -> VerdictReport:
    """What a comparison says."""
    checks = [Check(name=each.text, ok=each.ok, reason=each.reason) for each in comparison.results]
    return VerdictReport(
        title=f"loadstone compare {comparison.base['id']} {comparison.run['id']}",
        verdict=comparison.verdict,
        seconds=comparison.run["window"]["seconds"],
        checks=checks,
        notes=[*comparison.unlike, *comparison.doubts],
        header=("request", "metric", "base", "run", "change", "interval", "different"),
        rows=[_change_row(change) for change in comparison.changes],
    )


def _run_row(label: str, row: Mapping[str, Any]) -> list[str]:
    figures = [_text(row[key]) for key in ("rps", "p50_ms", "p95_ms", "p99_ms")]
    return [label, f"{row['requests']:,}", f"{row['failures']:,} ({number_text(row['failures_pct'])} %)", *figures]


def _change_row(change: Change) -> list[str]:
    label = request_label(change.method, change.name)
    figures = [_text(change.base), _text(change.run)]
    if change.interval is None:
        return [label, change.metric, *figures, "-", "-", "cannot be told"]
    words = change_text(change).removeprefix(f"{change.metric} ").partition(" [")
    return [label, change.metric, *figures, words[0], f"[{words[2]}", "yes" if change.differs else "no"]


def _text(value: float | None) -> str:
    return "-" if value is None else number_text(value)
