"""A tab in Locust's web UI: the run's objectives and what the target uses, and links to everything of the run.

Only Locust's own extension points are used: ``template_args`` (its tabs, tables and download links), routes of its
Flask application, and ``extended_stats`` in what its page polls. The content comes from the collector's live page,
read over HTTP at most once a second; while it cannot be reached, the tab is empty and Locust's page works as usual.
"""

from __future__ import annotations

import json
import logging
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.request import ProxyHandler, build_opener

from flask import Response, abort, redirect, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from locust.web import WebUI

    from loadstone.settings import HookSettings

__all__ = ["LiveState", "install", "tab_rows"]

_TAB: Final = "loadstone"
_FILES: Final[Mapping[str, str]] = {
    "report.html": "loadstone report (of a closed run)",
    "stats.csv": "loadstone: totals, CSV (of a closed run)",
    "stats_history.csv": "loadstone: history, CSV (of a closed run)",
    "failures.csv": "loadstone: failures, CSV (of a closed run)",
    "exceptions.csv": "loadstone: exceptions, CSV (of a closed run)",
}
_COLUMNS: Final = (("name", "What"), ("value", "Now"), ("limit", "Limit"), ("result", "Result"))
_EVERY_S: Final = 1.0
_ANSWER_WITHIN_S: Final = 2.0
_MIB: Final = 1024 * 1024
_POLLED: Final = "/stats/requests"
log = logging.getLogger("loadstone.web_ui")


class LiveState:
    """The collector's newest state, asked for at most once a second."""

    def __init__(self, url: str) -> None:
        self.url = url if url.endswith("/") else f"{url}/"
        self._opener = build_opener(ProxyHandler({}))
        self._state: dict[str, Any] = {}
        self._asked_at_s = -_EVERY_S

    def __call__(self) -> dict[str, Any]:
        """The newest state; an empty one while the collector cannot be reached."""
        now_s = time.monotonic()
        if now_s - self._asked_at_s >= _EVERY_S:
            self._asked_at_s = now_s
            try:
                self._state = json.loads(self.read("state"))
            except (OSError, HTTPException, ValueError) as error:
                log.debug("live_page=unreachable error=%r", str(error))
                self._state = {}
        return self._state

    def read(self, path: str) -> bytes:
        """What the collector answers. Raises `OSError` when it does not, or has no such thing."""
        with self._opener.open(self.url + path, timeout=_ANSWER_WITHIN_S) as answer:
            content: bytes = answer.read()
        return content


def install(web_ui: WebUI, settings: HookSettings) -> LiveState | None:
    """Add the tab, the links and their routes, and return the live state.

    If the settings name no live page, nothing is added and None is returned.
    """
    if settings.live_url is None:
        return None
    state = LiveState(settings.live_url)
    links = [{"title": "loadstone live page", "href": settings.live_link or settings.live_url}]
    if settings.grafana_link:
        links.append({"title": "Grafana", "href": settings.grafana_link})
    files = [{"title": title, "href": f"./loadstone/{name}"} for name, title in _FILES.items()]
    _extend(web_ui, "extended_tabs", [{"title": "Loadstone", "key": _TAB}])
    structure = [{"key": key, "title": title} for key, title in _COLUMNS]
    _extend(web_ui, "extended_tables", [{"key": _TAB, "structure": structure}])
    _extend(web_ui, "extended_csv_files", [*links, *files])
    _add_routes(web_ui, state, links[0]["href"])
    return state


def tab_rows(state: Mapping[str, Any]) -> list[dict[str, str]]:
    """The tab's rows: objectives as they stand, then CPU and memory of every container."""
    tables = state.get("tables", {})
    rows = [_objective_row(row) for row in tables.get("objectives", [])]
    return [*rows, *(row for usage in tables.get("usage_now", []) for row in _usage_rows(usage))]


def _extend(web_ui: WebUI, key: str, items: list[dict[str, Any]]) -> None:
    """Add to what the scenario itself may have put there."""
    web_ui.template_args[key] = [*web_ui.template_args.get(key, []), *items]


def _add_routes(web_ui: WebUI, state: LiveState, live_link: str) -> None:
    app: Any = web_ui.app
    guarded: Any = web_ui.auth_required_if_enabled
    app.add_url_rule("/loadstone/live", "loadstone_live", guarded(lambda: redirect(live_link)))
    app.add_url_rule("/loadstone/<name>", "loadstone_file", guarded(lambda name: _file(state, name)))

    def add_stats(response: Response) -> Response:
        if request.path.endswith(_POLLED) and response.status_code == HTTPStatus.OK and response.is_json:
            _add_stats(response, tab_rows(state()))
        return response

    app.after_request(add_stats)


def _file(state: LiveState, name: str) -> Response:
    run = state().get("run")
    if name not in _FILES or not run:
        abort(HTTPStatus.NOT_FOUND)
    try:
        content = state.read(f"runs/{run}/{name}")
    except (OSError, HTTPException):
        abort(HTTPStatus.NOT_FOUND, description=f"Run {run} has no {name} yet: it is written when the run is closed.")
    if name.endswith(".csv"):
        headers = {"Content-Disposition": f'attachment; filename="{run}-{name}"'}
        return Response(content, mimetype="text/csv", headers=headers)
    return Response(content, mimetype="text/html")


def _add_stats(response: Response, rows: list[dict[str, str]]) -> None:
    body = response.get_json()
    if isinstance(body, dict):
        body["extended_stats"] = [*body.get("extended_stats", []), {"key": _TAB, "data": rows}]
        response.set_data(json.dumps(body))


def _objective_row(row: list[Any]) -> dict[str, str]:
    text, value, unit, result, _ = row
    return {
        "name": text,
        "value": "-" if value is None else f"{value:.4g} {unit}".strip(),
        "limit": "",
        "result": result,
    }


def _usage_rows(usage: list[Any]) -> Iterator[dict[str, str]]:
    container, cores, cores_limit, throttled, mem_bytes, mem_limit, *_ = usage
    held_back = f"held back {throttled:.1f} %" if throttled else ""
    yield _row(f"{container}: CPU", f"{cores:.2f} cores", f"{cores_limit:g} cores" if cores_limit else "", held_back)
    limit = f"{mem_limit / _MIB:.0f} MiB" if mem_limit else ""
    yield _row(f"{container}: memory", f"{mem_bytes / _MIB:.0f} MiB", limit, "")


def _row(name: str, value: str, limit: str, result: str) -> dict[str, str]:
    return {"name": name, "value": value, "limit": limit, "result": result}
