"""Mark an archived run in Grafana with one annotation over its whole length. Marking it again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from loadstone.domain.time import NS_PER_MS, parse_iso_ns
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.run_record import RunRecord
    from loadstone.grafana.api import GrafanaApi

__all__ = ["annotate"]

_TAG: Final = "loadstone"
_PATH: Final = "/api/annotations"
_FIGURES: Final = (("rps", "requests/s", ""), ("p95_ms", "p95", " ms"), ("failures_pct", "failed", " %"))
"""The figures in an annotation's text: field, name, unit."""


class _Annotation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An annotation as Grafana's API takes it; times in ms since 1970. Without a board it belongs to none."""

    dashboard_uid: str = msgspec.field(name="dashboardUID", default="")
    time: int
    time_end: int
    tags: list[str]
    text: str


def annotate(api: GrafanaApi, run: RunRecord, board: str | None = None) -> str:
    """Mark a run on one board (its uid), or without a board; returns a line that says what was done.

    Boards can show annotations without a board by the tag ``loadstone``. Raises `UsageError` when it is unknown when
    the run began or ended.
    """
    annotation = _annotation(run, board)
    return api.retried(lambda: _put(api, annotation, run.id))


def _annotation(run: RunRecord, board: str | None) -> _Annotation:
    if not (run.started_at and run.ended_at):
        raise UsageError(
            f"run {run.id} cannot be marked: its start or its end is unknown", hint="Mark a run that sent requests"
        )
    total = run.summary.window.total
    figures = [(name, getattr(total, field), unit) for field, name, unit in _FIGURES]
    text = ", ".join(f"{name} {value:.4g}{unit}" for name, value, unit in figures if value is not None)
    return _Annotation(
        dashboard_uid=board or "",
        time=_epoch_ms(run.started_at),
        time_end=_epoch_ms(run.ended_at),
        tags=sorted((_TAG, f"run:{run.id}", f"verdict:{run.verdict}")),
        text=f"loadstone run {run.id}: {run.verdict} ({text})",
    )


def _put(api: GrafanaApi, annotation: _Annotation, run: str) -> str:
    query = {
        "type": "annotation",
        "tags": [_TAG, f"run:{run}"],
        "from": annotation.time - 1,
        "to": annotation.time_end + 1,
    }
    content: Mapping[str, Any] = msgspec.to_builtins(annotation)
    board = annotation.dashboard_uid
    found = [each for each in api.read(_PATH, query) or () if (each.get("dashboardUID") or "") == board]
    if not found:
        api.create(_PATH, content)
        return f"run {run}: marked"
    same = {**found[0], "tags": sorted(found[0].get("tags") or ())}
    if all(same.get(key) == value for key, value in content.items()):
        return f"run {run}: already marked"
    api.replace(f"{_PATH}/{found[0]['id']}", content)
    return f"run {run}: mark updated"


def _epoch_ms(moment: str) -> int:
    return round(parse_iso_ns(moment) / NS_PER_MS)
