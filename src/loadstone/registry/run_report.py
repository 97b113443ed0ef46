"""A run as a report on the model version that its target served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.registry.report import ModelReport, ServedVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import RunRecord

__all__ = ["report_of", "served_by"]

_PREFIX: Final = "loadstone.run."
_FIGURES: Final = ("rps", "failures_pct", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")


def served_by(record: RunRecord) -> ServedVersion | None:
    """The model version that the target said it serves; None where it said none."""
    target = record.target or {}
    if not target.get("model") or not target.get("version"):
        return None
    return ServedVersion(
        name=str(target["model"]), number=str(target["version"]), trained_by=target.get("run_id") or None
    )


def report_of(run: ClosedRun) -> ModelReport:
    """Verdict, load, limits and the figures of the window, as tags; the run's own files as artifacts."""
    record = run.record
    figures = {name: getattr(record.judged.total, name) for name in _FIGURES}
    tags = {
        "id": record.id,
        "verdict": record.verdict,
        "users": str(record.users_peak),
        "objectives": "; ".join(objective.text for objective in record.objectives),
        "ended_at": record.ended_at or "",
        **{name: f"{value:.6g}" for name, value in figures.items() if value is not None},
        **dict(_limits(record.limits or {})),
    }
    return ModelReport(
        name=record.id,
        prefix=_PREFIX,
        served=served_by(record),
        tags={f"{_PREFIX}{name}": value for name, value in tags.items() if value},
        params={"scenario": ", ".join(record.scenario.files) if record.scenario else "", "host": record.host or ""},
        metrics={name: (value,) for name, value in figures.items()},
        files=run.short_files,
    )


def _limits(limits: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The limits of the target, under the names that `loadstone capacity` gives them too."""
    target = limits.get("target") or {}
    for tag, name in (("cpu", "cpu_cores"), ("memory", "memory"), ("replicas", "replicas")):
        if target.get(name) is not None:
            yield tag, str(target[name])
