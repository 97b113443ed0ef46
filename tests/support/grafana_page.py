"""Boards drawn by Grafana's own libraries (tests/browser/grafana/harness), with the answers of a real InfluxDB.

The libraries apply transformations, field configuration and overrides, format values and draw the panels; variables,
queries and the frames of the data source are doubles (support.grafana_queries, support.grafana_frames).
"""

from __future__ import annotations

import functools
import http.server
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from support.grafana_frames import frames_of
from support.grafana_queries import BoardQuery, expand, with_hidden
from support.require import require
from support.scripts import load_script
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.chromium import Page
    from support.grafana_queries import Shown
    from support.influx_server import InfluxServer

__all__ = ["Drawn", "HarnessPages", "answers_of", "repeated"]

COPY: Final = 1000
"""The ids of copies of a repeated panel are this far apart."""
Panel = dict[str, Any]
Board = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What can be read of a drawn board: a report for each panel, and what the page complained of."""

    panels: list[Panel]
    complaints: list[str]
    unknown_variables: list[str]

    def panel(self, title: str) -> Panel:
        """The report of the panel with this title."""
        return next(each for each in self.panels if each["title"] == title)


class HarnessPages:
    """The built harness, served to a browser."""

    def __init__(self, url: str) -> None:
        self._url = url

    @classmethod
    @contextmanager
    def serve(cls) -> Iterator[HarnessPages]:
        """Serve the harness from the cache; the test is skipped, or fails, where it was not built of these files."""
        fetch = load_script("tests/services/fetch.py")
        built: Path = fetch.HARNESS_PAGE / "index.html"
        require(built if fetch.harness_is_built() else None, "the harness of the boards is not here: `make servers`")
        handler = functools.partial(_QuietHandler, directory=str(built.parent))
        with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
            yield cls(f"http://127.0.0.1:{server.server_address[1]}/index.html")

    def open(self, page: Page) -> None:
        """Load the harness into a tab."""
        page.open(self._url, ready="window.harness")

    def draw(self, page: Page, board: Board, influx: InfluxServer, shown: Shown, *, width: int, dark: bool) -> Drawn:
        """Draw a board in a tab that has the harness."""
        shown = with_hidden(board["uid"], influx.query, shown)
        board = repeated(board, shown)
        request = {
            "board": board, "answers": answers_of(board, influx, shown), "mode": "dark" if dark else "light",
            "range": {"from": shown.from_ms, "to": shown.to_ms}, "variables": dict(shown.variables), "width": width,
        }  # fmt: skip
        before = len(page.complaints)
        report = page.evaluate(f"window.harness.draw({json.dumps(request)})")
        foreign = [f"a request to {each}" for each in page.foreign(self._url.removesuffix("index.html"))]
        return Drawn(report["panels"], [*page.complaints[before:], *foreign], report["unknownVariables"])


def repeated(board: Board, shown: Shown) -> Board:
    """The board with each repeated panel once for every value, side by side, as Grafana lays them out.

    ``scoped`` holds the value that the panel sees instead of all that are chosen.
    """
    panels: list[Panel] = []
    for panel in board["panels"]:
        name = panel.get("repeat")
        chosen = shown.variables[name] if name else ""
        values = (chosen,) if isinstance(chosen, str) else chosen
        width = panel["gridPos"]["w"] // len(values)
        for at, value in enumerate(values):
            place = {**panel["gridPos"], "w": width, "x": panel["gridPos"]["x"] + at * width}
            scoped = {name: value} if name else {}
            panels.append({**panel, "id": panel["id"] + at * COPY, "gridPos": place, "scoped": scoped})
    return {**board, "panels": panels}


def answers_of(board: Board, influx: InfluxServer, shown: Shown) -> dict[str, list[dict[str, Any]]]:
    """The frames of every panel's queries, by the panel's id."""
    return {
        str(panel["id"]): [
            frame
            for target in panel.get("targets", [])
            for frame in frames_of(target, influx.series(_expanded(board, panel, target, shown), epoch="ms"))
        ]
        for panel in board["panels"]
    }


def _expanded(board: Board, panel: Panel, target: dict[str, Any], shown: Shown) -> str:
    shown = replace(shown, variables={**shown.variables, **panel["scoped"]})
    return expand(BoardQuery(board["uid"], panel["title"], target["refId"], target["query"]), shown)


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
