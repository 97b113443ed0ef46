"""Mark an archived run in a Grafana: one annotation that spans it. Doing it twice changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.grafana.api import GrafanaApi

__all__ = ["annotate"]

_TAG: Final = "loadstone"
_PATH: Final = "/api/annotations"


def annotate(api: GrafanaApi, document: Mapping[str, Any], board: str | None = None) -> str:
    """Mark the run of a run.json, on one board (its uid) or for all of them; a line on what was done.

    Boards show annotations of no board when they ask for the tag ``loadstone``. Raises `UsageError` when the run has
    not ended.
    """
    content = _content(document, board)
    return api.patiently(lambda: _put(api, content, str(document["id"])))


def _content(document: Mapping[str, Any], board: str | None) -> dict[str, Any]:
    if not (document.get("started_at") and document.get("ended_at")):
        raise UsageError(f"run {document['id']} has no beginning and end to mark", hint="Wait until it has ended")
    window = document["summary"]["window"]["total"]
    figures = ", ".join(
        f"{name} {window[key]:.4g}{unit}"
        for key, name, unit in (("rps", "requests/s", ""), ("p95_ms", "p95", " ms"), ("failures_pct", "failed", " %"))
        if window.get(key) is not None
    )
    return {
        **({"dashboardUID": board} if board else {}),
        "time": _epoch_ms(document["started_at"]),
        "timeEnd": _epoch_ms(document["ended_at"]),
        "tags": sorted((_TAG, f"run:{document['id']}", f"verdict:{document['verdict']}")),
        "text": f"loadstone run {document['id']}: {document['verdict']} ({figures})",
    }


def _put(api: GrafanaApi, content: Mapping[str, Any], run: str) -> str:
    board = content.get("dashboardUID")
    asked = {
        "type": "annotation",
        "tags": [_TAG, f"run:{run}"],
        "from": content["time"] - 1,
        "to": content["timeEnd"] + 1,
    }
    there = [each for each in api.read(_PATH, asked) or () if (each.get("dashboardUID") or None) == board]
    if not there:
        api.create(_PATH, content)
        return f"run {run}: marked"
    same = {**there[0], "tags": sorted(there[0].get("tags") or ())}
    if all(same.get(key) == value for key, value in content.items()):
        return f"run {run}: is marked already"
    api.replace(f"{_PATH}/{there[0]['id']}", content)
    return f"run {run}: mark updated"


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
