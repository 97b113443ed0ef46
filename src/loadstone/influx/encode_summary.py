"""``run_summary`` and ``objective``: what a closed run came to, from its run.json; objectives also when it starts."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from loadstone.archive.finalize.first_pass import iso
from loadstone.domain.objective import parse_objectives
from loadstone.errors import SettingsError
from loadstone.influx.encode_rollups import TARGET_SERVICE
from loadstone.influx.line_protocol import FieldValue, point, tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.domain.event import Started
    from loadstone.domain.objective import Objective

__all__ = ["announced_objectives", "summary_lines"]

_MS: Final = 1_000_000
_FIGURES: Final = ("mean_ms", "max_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "rps", "failures_pct")
_COUNTS: Final = ("requests", "failures", "aborted", "users", "users_peak", "workers", "exit_code")
_LEDGER: Final = ("produced", "stored", "dropped", "unknown")
_MODEL: Final = ("name", "version", "alias")


def summary_lines(document: Mapping[str, Any]) -> list[str]:
    """The points of a run.json: one ``run_summary`` and one ``objective`` each, at the start of the run."""
    start_ms = _epoch_ms(document["started_at"])
    if start_ms is None:
        return []
    run = {"run": document["id"]}
    lines = [point("run_summary" + tags(run), _summary(document, start_ms), start_ms * _MS)]
    for number, result in enumerate(document["objectives"]):
        fields: dict[str, FieldValue] = {
            "limit": float(result["limit"]),
            "value": _float(result["value"]),
            "ok": result["ok"],
            "text": result["text"],
            "reason": result["reason"] or None,
        }
        # Two objectives may have one metric: a nanosecond tells them apart.
        lines.append(point("objective" + tags({**run, "metric": result["metric"]}), fields, start_ms * _MS + number))
    return [line for line in lines if line]


def announced_objectives(run: str, started: Started, at_ns: int) -> list[str]:
    """The ``objective`` points of a run that starts: the limits only, where its end will complete them.

    Objectives that cannot be understood have no point; the verdict tells what is wrong with them.
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
            start_ms * _MS + number,
        )
        for number, each in enumerate(found)
    ]


def _summary(document: Mapping[str, Any], start_ms: int) -> dict[str, FieldValue]:
    end_ms = _epoch_ms(document["ended_at"]) or start_ms
    window, total = document["window"], document["summary"]["window"]["total"]
    usage = document["usage"].get(TARGET_SERVICE, {})
    model = document.get("target") if isinstance(document.get("target"), dict) else None
    return {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "duration_s": (end_ms - start_ms) / 1000,
        "window_start_ms": window["start_ns"] // _MS,
        "window_end_ms": window["end_ns"] // _MS,
        "verdict": document["verdict"],
        "host": document["host"],
        **{key: _int(document[key]) for key in _COUNTS},
        **{key: _float(total[key]) for key in _FIGURES},
        **{key: _int(document["ledgers"]["archive"][key]) for key in _LEDGER},
        **{f"target_{key}": _float(usage.get(key)) for key in ("cpu_cores", "cpu_cores_max", "cpu_limit")},
        **{f"target_{key}": _int(usage.get(key)) for key in ("mem_bytes", "mem_limit", "oom")},
        **{f"model_{key}": str(model[key]) for key in _MODEL if model and model.get(key) is not None},
    }


def _epoch_ms(text: str | None) -> int | None:
    return round(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None
