"""In which kind of unit each figure of the boards has to be shown; not taken from the boards, which it checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from support.boards import EXPECTED
from support.boards.view import View
from support.grafana_page import repeated
from support.grafana_reading import LAG

__all__ = ["expected_rows", "kind_of"]

_PANELS: Final = {
    "ms": ("Mean", "Run p95", "Latency", "Percentiles by name", "p95", "Service p95", "Event loop lag", "Longest stall",
           "Latency of successful and failed requests, last minute", "Time to first byte, last minute",
           "Lateness of arrivals", "Latency by run", "Latency against requests per second", "Latency against users",
           "p95 against CPU", "p95 against users"),
    "%": ("Failed", "Failed requests", "CPU throttling of each container", "Failed requests by name",
          "CPU of each worker", "CPU of each worker's host", "CPU stolen from each worker's host",
          "Failed requests by run", "Difference to the baseline", "First to reach the CPU limit",
          "First to reach the memory limit"),
    "/s": ("Requests/s", "Peak", "Users and requests per second", "Requests per second by name", "Requests per second",
           "Requests per second per CPU core", "Arrivals per second"),
    "B": ("Memory", "Memory of each container", "Memory of each worker"),
    "B/s": ("Network received", "Network sent"),
    "s": ("Longest lag", "Lag", "Longest time until visible"),
    "connections/s": ("New connections per second",),
    "MiB": ("Memory per user", "CPU and memory, replicas: 1", "CPU and memory, replicas: 2"),
    "number": ("CPU", "CPU of each container", "CPU of the target by run"),
    LAG: ("Did the generator keep up?",),
}  # fmt: skip
_COLUMNS: Final = {
    "number": ("users", "target users", "CPU limit", "CPU limit of all replicas", "trial"),
    "/s": ("requests/s",),
}
_TABLE_COLUMNS: Final = {
    "ms": ("mean", "p50", "p95", "p99", "service p95", "longest", "duration"),
    "%": ("failed", "throttled"),
    "B": ("memory", "memory limit", "memory highest"),
}
_NUMBERS: Final = ("Limits and outcomes of all runs", "Figures", "Requests per second by run")
"""Panels whose requests per second have no unit."""
_SECONDS: Final = ("All runs",)
"""Tables whose duration is that of a run."""


def kind_of(panel: str, column: str) -> str:
    """The kind of a column's figures in the panel with this title."""
    if panel in _SECONDS and column == "duration":
        return "s"
    if panel in _NUMBERS and column == "requests/s":
        return "number"
    own = _named(_PANELS, panel)
    return _named(_COLUMNS, column) or own or _named(_TABLE_COLUMNS, column) or "number"


def _named(kinds: dict[str, tuple[str, ...]], name: str) -> str:
    return next((kind for kind, names in kinds.items() if name in names), "")


def expected_rows(board: dict[str, Any], view: View) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What the archive gives for the queries of a board's panels, by title and letter; copies of a panel by theirs."""
    known = EXPECTED[board["uid"].removeprefix("loadstone-")]
    found = {}
    for panel in repeated(board, view.shown)["panels"]:
        title = panel["title"]
        for name, value in panel["scoped"].items():
            title = title.replace(f"${{{name}}}", value)
        shown = replace(view.shown, variables={**view.shown.variables, **panel["scoped"]})
        for target in panel.get("targets", []):
            found[title, target["refId"]] = known[panel["title"], target["refId"]](View(view.runs, shown))
    return found
