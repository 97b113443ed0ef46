"""The lines of ``run_summary`` and ``objective``: the results of a closed run, and the objectives when it starts."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from loadstone.domain.objective import parse_objectives
from loadstone.domain.time import NS_PER_MS, iso
from loadstone.errors import SettingsError
from loadstone.influx.encode_rollups import TARGET_SERVICE
from loadstone.influx.line_protocol import FieldValue, point, tags

if TYPE_CHECKING:
    from loadstone.archive.run_record import PartRecord, RunRecord, ServiceRecord
    from loadstone.domain.event import Started
    from loadstone.domain.objective import Objective

__all__ = ["announced_objectives", "summary_lines"]

_FIGURES: Final = ("mean_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "rps", "failures_pct")
_SERVICE: Final = ("mean_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms")
_ARRIVALS: Final = ("planned", "sent", "not_sent", "cut_off")
_COUNTS: Final = ("requests", "failures", "aborted", "users", "users_peak", "workers", "exit_code")
_LEDGER: Final = ("produced", "stored", "dropped", "unknown")
_MODEL: Final = ("name", "version", "alias")


def summary_lines(record: RunRecord) -> list[str]:
    """The points of a closed run: one ``run_summary`` and one ``objective`` each, at the start of the run."""
    start_ms = _epoch_ms(record.started_at)
    if start_ms is None:
        return []
    lines = [point("run_summary" + tags({"run": record.id}), _summary(record, start_ms), start_ms * NS_PER_MS)]
    for number, result in enumerate(record.objectives):
        fields: dict[str, FieldValue] = {
            "limit": float(result.limit),
            "value": _float(result.value),
            "ok": result.ok,
            "text": result.text,
            "reason": result.reason or None,
        }
        # Two objectives may have one metric: a nanosecond tells them apart.
        series = "objective" + tags({"run": record.id, "metric": result.metric})
        lines.append(point(series, fields, start_ms * NS_PER_MS + number))
    return [line for line in lines if line]


def announced_objectives(run: str, started: Started, at_ns: int) -> list[str]:
    """The ``objective`` points of a run that starts: the limits only; the end of the run completes them.

    Objectives that cannot be parsed have no point; the verdict says what is wrong with them.
    """
    start_ms = _epoch_ms(iso(at_ns)) or 0
    found: list[Objective] = []
    for line in started.objectives:
        with suppress(SettingsError):
            found.extend(parse_objectives([line]))
    return [
        point(
            "objective" + tags({"run": run, "metric": each.key}),
            {"limit": each.limit, "text": each.text},
            start_ms * NS_PER_MS + number,
        )
        for number, each in enumerate(found)
    ]


def _summary(record: RunRecord, start_ms: int) -> dict[str, FieldValue]:
    end_ms = _epoch_ms(record.ended_at) or start_ms
    total, ledger = record.summary.window.total, record.ledgers.archive
    return {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "duration_s": (end_ms - start_ms) / 1000,
        "window_start_ms": record.window.start_ns // NS_PER_MS,
        "window_end_ms": record.window.end_ns // NS_PER_MS,
        "verdict": record.verdict,
        "host": record.host,
        **{key: getattr(record, key) for key in _COUNTS},
        **{key: _float(getattr(total, key)) for key in _FIGURES},
        **_open_model(record.summary.window),
        **{key: getattr(ledger, key) for key in _LEDGER},
        **_target(record.usage.get(TARGET_SERVICE)),
        **{f"model_{key}": str(value) for key in _MODEL if (value := (record.target or {}).get(key)) is not None},
    }


def _open_model(window: PartRecord) -> dict[str, FieldValue]:
    """Service times and arrivals, which there are under the open model."""
    service, arrivals = window.total.service, window.arrivals
    if service is None or arrivals is None:
        return {}
    return {
        **{f"service_{key}": _float(getattr(service, key)) for key in _SERVICE},
        **{f"arrivals_{key}": getattr(arrivals, key) for key in _ARRIVALS},
        "lateness_p99_ms": _float(arrivals.lateness_p99_ms),
        "lateness_max_ms": _float(arrivals.lateness_max_ms),
    }


def _target(usage: ServiceRecord | None) -> dict[str, FieldValue]:
    if usage is None:
        return {}
    return {
        "target_cpu_cores": float(usage.cpu_cores),
        "target_cpu_cores_max": float(usage.cpu_cores_max),
        "target_cpu_limit": _float(usage.cpu_limit),
        "target_mem_bytes": usage.mem_bytes,
        "target_mem_limit": usage.mem_limit,
        "target_oom": usage.oom,
    }


def _epoch_ms(text: str | None) -> int | None:
    return round(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
