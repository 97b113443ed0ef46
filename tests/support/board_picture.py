"""A page that draws a board's real results with the charts of the report, for machines without Grafana.

The page shows the rows that InfluxDB returned for the board's own queries. The script of live page and report
(loadstone.charts) draws lines and heatmaps; tables and figures are plain HTML. It does not imitate Grafana's look.
"""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from support.grafana_queries import board

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows

__all__ = ["board_page"]

NS: Final = 1e9
_MOST_ROWS: Final = 12
_ROWS_OF_BUCKETS: Final = {
    "10": (30, 40), "25": (40, 44), "50": (44, 47), "100": (47, 50), "250": (50, 54), "500": (54, 57),
    "1000": (57, 60), "2500": (60, 64), "5000": (64, 67), "10000": (67, 70),
}  # fmt: skip
"""The rows of the report's heatmap (ten per decade, from 1 us) that each stored bucket covers."""
_SCRIPT: Final = """
const boards = JSON.parse(document.getElementById("data").textContent);
for (const panel of boards.panels) {
  const host = document.getElementById("panel-" + panel.id);
  if (panel.points) {
    new uPlot({ width: host.clientWidth, height: 240, legend: { show: false }, scales: { x: { time: false } },
      axes: [{ label: panel.x }, { label: "p95, ms", size: 62 }],
      series: [{}, { label: "p95", stroke: "#0b57d0", paths: () => null, points: { show: true, size: 6 } }] },
      panel.points, host);
  } else {
    Charts.draw({ id: panel.chart, wide: false }, panel.page, host);
  }
}
document.title = "drawn";
"""
_STYLE: Final = """
main { max-width: none; padding: 1rem; }
.board { display: grid; grid-template-columns: repeat(24, 1fr); gap: 0.5rem; }
section { min-width: 0; background: var(--card); border: 1px solid var(--line); padding: 0.5rem; }
section h3 { margin-bottom: 0.3rem; }
.figure { font-size: 1.5rem; margin: 0; }
.say { font-size: 0.85rem; }
table { font-size: 0.8rem; width: 100%; }
td, th { text-align: left; padding: 0.1rem 0.4rem; overflow-wrap: anywhere; }
"""
_SAID: Final = "Real results of the queries of this board, drawn with the charts of the report, not by Grafana."


def board_page(uid: str, ask: Callable[[str], Rows], events: Rows, start_ns: int, step_s: int) -> str:
    """Return the page of a board. ``ask`` answers queries, ``events`` become lines, and time starts at ``start_ns``."""
    found = board(uid)
    data: list[dict[str, Any]] = []
    parts = []
    for panel in found["panels"]:
        answers = [(target, ask(target["query"])) for target in panel.get("targets", [])]
        unit = panel["fieldConfig"]["defaults"]["unit"]
        drawn = _chart(panel, answers, events, start_ns, step_s)
        if drawn:
            data.append({"id": panel["id"], **drawn})
        inside = f'<div id="panel-{panel["id"]}"></div>' if drawn else _words(panel, answers)
        title = html.escape(panel["title"] + (", MiB" if drawn and unit == "bytes" else ""))
        span = f'style="grid-column: span {panel["gridPos"]["w"]}"'
        parts.append(f'<section {span}><h3 title="{html.escape(panel["description"])}">{title}</h3>{inside}</section>')
    return _page(found["title"], "".join(parts), data)


def _page(title: str, body: str, data: list[dict[str, Any]]) -> str:
    static = files("loadstone.charts") / "static"
    style, charts = (
        "\n".join((static / name).read_text(encoding="utf-8") for name in names)
        for names in (("uplot.css", "page.css"), ("uplot.js", "zoom.js", "charts.js"))
    )
    text = json.dumps({"panels": data}).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{style}{_STYLE}</style><main>'
        f"<h1>{html.escape(title)}</h1>"
        f'<p class="muted">{_SAID}</p>'
        f'<div class="board">{body}</div></main>'
        f'<script type="application/json" id="data">{text}</script><script>{charts}</script><script>{_SCRIPT}</script>'
    )


def _chart(
    panel: dict[str, Any], answers: list[tuple[dict[str, Any], Rows]], events: Rows, start_ns: int, step_s: int
) -> dict[str, Any] | None:
    if panel["type"] == "timeseries" and any(rows for _, rows in answers):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        return _lines(answers, events, start_ns, 2**20 if unit == "bytes" else 1)
    if panel["type"] == "heatmap":
        return _heat(answers[0][1], start_ns, step_s)
    if panel["type"] == "xychart":
        x = panel["options"]["series"][0]["x"]["matcher"]["options"]
        rows = sorted((row[x], row["p95"]) for row in answers[0][1] if row[x] is not None and row["p95"] is not None)
        return {"x": x, "points": [[row[0] for row in rows], [row[1] for row in rows]]}
    return None


def _lines(answers: list[tuple[dict[str, Any], Rows]], events: Rows, start_ns: int, by: float) -> dict[str, Any]:
    series: dict[str, dict[float, Any]] = {}
    for target, rows in answers:
        tags = (
            set(re.findall(r'"(\w+)"', target["query"].rpartition("GROUP BY")[2]))
            if "GROUP BY" in target["query"]
            else set()
        )
        for row in rows:
            for column in row.keys() - tags - {"time"}:
                label = _label(target["alias"], column, row)
                series.setdefault(label, {})[_whole_second(row["time"], start_ns)] = row[column]
    times = sorted({at for points in series.values() for at in points})
    values = {label: [_scaled(points.get(at), by) for at in times] for label, points in sorted(series.items())}
    marks = [{"t": (row["time"] - start_ns) / NS, "kind": row["kind"]} for row in events] if times else []
    return {"chart": "lines", "page": {"t": times, "charts": {"lines": values}, "events": marks, "window": None}}


def _whole_second(at_ns: int, start_ns: int) -> float:
    """Align the points of workers and containers to common times, which the report's charts need to draw lines."""
    return float(round((at_ns - start_ns) / NS))


def _scaled(value: Any, by: float) -> Any:
    return value if value is None or by == 1 else value / by


def _heat(rows: Rows, start_ns: int, step_s: int) -> dict[str, Any]:
    counts = [
        [number for bucket, (low, high) in _ROWS_OF_BUCKETS.items() if row[bucket] for at in range(low, high)
         for number in (at, row[bucket])]
        for row in rows
    ]  # fmt: skip
    times = [(row["time"] - start_ns) / NS for row in rows]
    page = {"t": times, "step_s": step_s, "charts": {"heat": {"counts": counts}}, "events": [], "window": None}
    return {"chart": "heat", "page": page}


def _label(alias: str, column: str, row: dict[str, Any]) -> str:
    text = re.sub(r"\$tag_(\w+)", lambda found: str(row.get(found[1], "")), alias)
    return text.replace("$col", column)


def _words(panel: dict[str, Any], answers: list[tuple[dict[str, Any], Rows]]) -> str:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "text":
        return f'<p class="say">{html.escape(panel["options"]["content"].replace("**", "").replace("*", ""))}</p>'
    rows = _joined(answers)
    if panel["type"] == "stat":
        field = panel["options"]["reduceOptions"]["fields"].strip("/^$")
        row = {key: value for key, value in (rows[0] if rows else {}).items() if key != "time"}
        value = row.get(field, next(iter(row.values()), None))
        if value is None:
            return f'<p class="say">{_no_value(panel)}</p>'
        return f'<p class="figure">{html.escape(_mapped(panel, value) or _shown(value, unit))}</p>'
    return _table(panel, rows, unit)


def _table(panel: dict[str, Any], rows: Rows, unit: str) -> str:
    special = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
    hidden = {name for name, properties in special.items() if {"id": "custom.hidden", "value": True} in properties}
    units = {name: each["value"] for name, properties in special.items() for each in properties if each["id"] == "unit"}
    columns = [key for key in (rows[0] if rows else {}) if key not in hidden | {"time"}]
    sort = (panel["options"].get("sortBy") or [{}])[0]
    if sort.get("displayName") in columns:
        key = sort["displayName"]
        rows = sorted(rows, key=lambda row: (row[key] is not None, row[key]), reverse=sort.get("desc", False))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(_shown(row.get(key), units.get(key, unit)))}</td>' for key in columns)}</tr>"
        for row in rows[:_MOST_ROWS]
    )
    more = f'<p class="say">and {len(rows) - _MOST_ROWS} more rows</p>' if len(rows) > _MOST_ROWS else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}" if rows else f'<p class="say">{_no_value(panel)}</p>'


def _no_value(panel: dict[str, Any]) -> str:
    return html.escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))


def _joined(answers: list[tuple[dict[str, Any], Rows]]) -> Rows:
    """Join the rows of several queries by their texts into one table, as the panels' transformation does."""
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, (_, rows) in enumerate(answers):
        for at, row in enumerate(rows):
            texts = tuple(sorted((key, value) for key, value in row.items() if isinstance(value, str)))
            place = texts if len(answers) > 1 else (number, at)
            joined.setdefault(place, {}).update(row)
    return list(joined.values())


def _mapped(panel: dict[str, Any], value: Any) -> str:
    """Return the word that the panel maps a number to."""
    for mapping in panel["fieldConfig"]["defaults"].get("mappings") or ():
        if mapping["type"] == "range" and isinstance(value, int | float):
            low, high = mapping["options"]["from"], mapping["options"]["to"]
            if (low is None or value >= low) and (high is None or value <= high):
                return str(mapping["options"]["result"]["text"])
    return ""


def _shown(value: Any, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    scale = {"bytes": (2**20, " MiB"), "ms": (1, " ms"), "percent": (1, " %"), "reqps": (1, " /s"), "s": (1, " s")}
    by, word = scale.get(unit, (1, ""))
    return f"{value / by:,.4g}{word}" if isinstance(value, float) or by > 1 else f"{value:,}{word}"
