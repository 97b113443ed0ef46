"""Queries of a board as Grafana sends them: variables replaced in the browser, macros in Grafana's server.

A double of two pieces of Grafana, which cannot be had here. Written after the documentation of variable formats
(https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/) and the behaviour of its InfluxDB data
source: ``:raw`` is the value, ``:regex`` escapes every sign of a regular expression and ``/``, several values become
``(a|b)``, *All* with a custom value becomes that value unescaped; then ``$timeFilter`` and ``$__interval``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ALL", "BOARDS", "BoardQuery", "Shown", "board", "expand", "queries", "variable_values", "with_hidden"]

BOARDS: Final = Path(__file__).parents[2] / "dashboards"
ALL: Final = ("$__all",)
Values = str | tuple[str, ...]
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_SPECIAL: Final = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_STEPS_MS: Final = (
    (1500, 1000), (3500, 2000), (7500, 5000), (12500, 10000), (17500, 15000), (25000, 20000), (45000, 30000),
    (90000, 60000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """One query: of which board, of which panel, variable or annotation (``owner``), and its letter there."""

    board: str
    owner: str
    ref: str
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is called in a list of expectations."""
        return self.board.removeprefix("loadstone-"), self.owner, self.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a viewer chose: time range (ms since 1970), width of a panel in points, and the variables' values."""

    from_ms: int
    to_ms: int
    points: int = 1000
    variables: Mapping[str, Values] = field(default_factory=dict)

    @property
    def interval_ms(self) -> int:
        """``$__interval``: the range over the points, rounded as Grafana does, at least the data source's second."""
        wanted = (self.to_ms - self.from_ms) / self.points
        return next(step for limit, step in _STEPS_MS if wanted <= limit)


def board(uid: str) -> dict[str, Any]:
    """The checked-in JSON of a board."""
    return dict(json.loads((BOARDS / f"{uid}.json").read_text()))


def queries(uid: str) -> Iterator[BoardQuery]:
    """Every query of a board."""
    found = board(uid)
    for panel in found["panels"]:
        for target in panel.get("targets", []):
            yield BoardQuery(uid, panel["title"], target["refId"], target["query"])
    for variable in found["templating"]["list"]:
        if variable["type"] == "query":
            yield BoardQuery(uid, f"variable {variable['name']}", "A", variable["query"])
    for annotation in found["annotations"]["list"]:
        yield BoardQuery(uid, f"annotation {annotation['name']}", "A", annotation["target"]["query"])


def expand(query: BoardQuery, shown: Shown) -> str:
    """The query that reaches InfluxDB. Raises AssertionError for a variable that is spelt without a format."""
    custom = {each["name"]: each.get("allValue") for each in board(query.board)["templating"]["list"]}
    ranges = {"__from": str(shown.from_ms), "__to": str(shown.to_ms)}

    def filled(found: re.Match[str]) -> str:
        name, style = found.groups()
        if name in ranges:
            return ranges[name]
        assert name in custom, f"{query.key}: {name} is no variable of the board"
        return _formatted(shown.variables[name], style, custom[name])

    text = _VARIABLE.sub(filled, query.text)
    filtered = f"time >= {shown.from_ms}ms and time <= {shown.to_ms}ms"
    return text.replace("$timeFilter", filtered).replace("$__interval", f"{shown.interval_ms // 1000}s")


def variable_values(rows: list[dict[str, Any]], query: str) -> list[str]:
    """The options that a variable gets from an answer, unsorted: the value of a tag, or the first field."""
    if query.startswith("SHOW TAG VALUES"):
        return [str(row["value"]) for row in rows]
    return list(dict.fromkeys(_number(next(value for key, value in row.items() if key != "time")) for row in rows))


def with_hidden(uid: str, ask: Callable[[str], list[dict[str, Any]]], shown: Shown) -> Shown:
    """Fill in the hidden variables of a board as Grafana does: the first value of each query's answer."""
    hidden: dict[str, Values] = {}
    for each in queries(uid):
        if each.owner.startswith("variable base_"):
            values = variable_values(ask(expand(each, shown)), each.text)
            hidden[each.owner.removeprefix("variable ")] = values[0] if values else ""
    return replace(shown, variables={**shown.variables, **hidden})


def _number(value: Any) -> str:
    """A number as a browser writes it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _formatted(value: Values, style: str | None, all_value: str | None) -> str:
    assert style in {"raw", "regex"}, f"a variable without a known format: {style}"
    if value == ALL:
        assert all_value is not None
        return all_value
    values = (value,) if isinstance(value, str) else value
    if style == "raw":
        assert len(values) == 1, "several values have no raw form"
        return values[0]
    escaped = [_SPECIAL.sub(lambda found: "\\" + found[0], each) for each in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
