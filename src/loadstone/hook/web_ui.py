"""A tab in Locust's web UI: the run's objectives and what the target uses, and links to everything of the run.

Only Locust's own extension points are used: ``template_args`` (its tabs, tables and download links), routes of its
Flask application, and ``extended_stats`` in what its page polls. The figures come from the live snapshot that the
collector's live page serves, read at most once a second; while it cannot be reached, the tab is empty and Locust's page
works as usual.
"""

from __future__ import annotations

import json
import logging
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from flask import Response, abort, redirect, request

from loadstone.domain.live import container_label, decode_live
from loadstone.domain.units import MIB
from loadstone.domain.web_access import seen_from
from loadstone.hook.web_guard import guarded_view

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from locust.web import WebUI

    from loadstone.domain.live import LiveObjective, LiveSnapshot, LiveUsage
    from loadstone.settings import HookSettings

__all__ = ["LiveSource", "install", "tab_rows"]

_TAB: Final = "loadstone"
_PAGES: Final[Mapping[str, str]] = {"live": "loadstone live page", "grafana": "Grafana"}
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
_TOLD_BYTES: Final = 500
_NO_RUN: Final = b"null"
_OK_WORDS: Final = {True: "held", False: "missed", None: "not measured"}
_POLLED: Final = "/stats/requests"
log = logging.getLogger("loadstone.web_ui")


class LiveSource:
    """The collector's newest snapshot, read at most once a second."""

    def __init__(self, url: str) -> None:
        self.url = url if url.endswith("/") else f"{url}/"
        self._opener = build_opener(ProxyHandler({}))
        self._live: LiveSnapshot | None = None
        self._asked_at_s = -_EVERY_S
        self._was_refused = False

    def __call__(self) -> LiveSnapshot | None:
        """The newest snapshot; None before the first run, and while the collector cannot be reached."""
        now_s = time.monotonic()
        if now_s - self._asked_at_s >= _EVERY_S:
            self._asked_at_s = now_s
            self._live = self._read_live()
        return self._live

    def read(self, path: str) -> bytes:
        """What the collector answers. Raises `OSError` when it does not, or has no such thing."""
        with self._opener.open(self.url + path, timeout=_ANSWER_WITHIN_S) as answer:
            content: bytes = answer.read()
        return content

    def _read_live(self) -> LiveSnapshot | None:
        try:
            text = self.read("live")
            return None if text == _NO_RUN else decode_live(text)
        except (OSError, HTTPException, ValueError) as error:
            refused = isinstance(error, HTTPError) and error.code == HTTPStatus.FORBIDDEN
            first, self._was_refused = refused and not self._was_refused, refused
            log.log(logging.WARNING if first else logging.DEBUG, "live_page=unreachable error=%r", _told(error))
            return None


def install(web_ui: WebUI, settings: HookSettings) -> LiveSource | None:
    """Add the tab, the links and their routes. The source of live snapshots; None, and nothing added, without one."""
    if settings.live_url is None:
        return None
    source = LiveSource(settings.live_url)
    pages = {"live": settings.live_link or settings.live_url}
    if settings.grafana_link:
        pages["grafana"] = settings.grafana_link
    titles = {**{name: _PAGES[name] for name in pages}, **_FILES}
    links = [{"title": title, "href": f"./loadstone/{name}"} for name, title in titles.items()]
    _extend(web_ui, "extended_tabs", [{"title": "Loadstone", "key": _TAB}])
    structure = [{"key": key, "title": title} for key, title in _COLUMNS]
    _extend(web_ui, "extended_tables", [{"key": _TAB, "structure": structure}])
    _extend(web_ui, "extended_csv_files", links)
    _add_routes(web_ui, source, pages)
    return source


def tab_rows(live: LiveSnapshot | None) -> list[dict[str, str]]:
    """The tab's rows: objectives as they stand, then CPU and memory of every container."""
    if live is None:
        return []
    rows = [_objective_row(objective) for objective in live.objectives]
    return [*rows, *(row for usage in live.usage for row in _usage_rows(usage))]


def _told(error: Exception) -> str:
    """What went wrong; of a server that refuses, its own words."""
    return error.read(_TOLD_BYTES).decode(errors="replace").strip() if isinstance(error, HTTPError) else str(error)


def _extend(web_ui: WebUI, key: str, items: list[Any]) -> None:
    """Append to the items that a scenario may have put there itself."""
    web_ui.template_args[key] = [*web_ui.template_args.get(key, []), *items]


def _add_routes(web_ui: WebUI, source: LiveSource, pages: Mapping[str, str]) -> None:
    app: Any = web_ui.app
    for name, url in pages.items():
        view = guarded_view(web_ui, lambda url=url: redirect(seen_from(url, request.host)))
        app.add_url_rule(f"/loadstone/{name}", f"loadstone_{name}", view)
    app.add_url_rule("/loadstone/<name>", "loadstone_file", guarded_view(web_ui, lambda name: _file(source, name)))

    def add_stats(response: Response) -> Response:
        if request.path.endswith(_POLLED) and response.status_code == HTTPStatus.OK and response.is_json:
            _add_stats(response, tab_rows(source()))
        return response

    app.after_request(add_stats)


def _file(source: LiveSource, name: str) -> Response:
    live = source()
    if name not in _FILES or live is None:
        abort(HTTPStatus.NOT_FOUND)
    run = live.run
    try:
        content = source.read(f"runs/{run}/{name}")
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


def _objective_row(objective: LiveObjective) -> dict[str, str]:
    value = "-" if objective.value is None else f"{objective.value:.4g} {objective.unit}".strip()
    return _row(objective.text, value, "", _OK_WORDS[objective.ok])


def _usage_rows(usage: LiveUsage) -> Iterator[dict[str, str]]:
    container = container_label(usage.service, usage.container)
    throttled = f"throttled {usage.throttled_pct:.1f} %" if usage.throttled_pct else ""
    limit = f"{usage.cpu_limit:g} cores" if usage.cpu_limit else ""
    yield _row(f"{container}: CPU", f"{usage.cpu_cores:.2f} cores", limit, throttled)
    limit = f"{usage.mem_limit / MIB:.0f} MiB" if usage.mem_limit else ""
    yield _row(f"{container}: memory", f"{usage.mem_bytes / MIB:.0f} MiB", limit, "")


def _row(name: str, value: str, limit: str, result: str) -> dict[str, str]:
    return {"name": name, "value": value, "limit": limit, "result": result}
