"""Answers of InfluxDB as the data frames that Grafana's InfluxDB data source makes of them.

A double: the data source is part of Grafana's server, which cannot be had here. Written after its documentation (raw
queries in InfluxQL, the formats *time series* and *table*, alias patterns): as a time series, each column of each
series is a frame with the fields Time and Value, named by the alias; as a table, one frame holds the time, the tags and
the columns of all series.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Frame", "frames_of"]

Frame = dict[str, Any]
"""A data frame as `createDataFrame` of Grafana's library takes it; times are ms since 1970."""
_PATTERN: Final = re.compile(r"\$(?:tag_(\w+)|(col|m|measurement)\b)")


def frames_of(target: dict[str, Any], series: Sequence[dict[str, Any]]) -> list[Frame]:
    """The frames of one query of a panel; ``series`` as InfluxDB gave them, with times in ms."""
    if target["resultFormat"] == "table":
        return [_table(target["refId"], series)] if series else []
    return [_line(target, each, at) for each in series for at, column in enumerate(each["columns"]) if column != "time"]


def _line(target: dict[str, Any], series: dict[str, Any], at: int) -> Frame:
    name = _name(target.get("alias", ""), series, series["columns"][at])
    values = [row[at] for row in series["values"]]
    field = {**_field("Value", values), "labels": series.get("tags", {}), "config": {"displayNameFromDS": name}}
    time = {"name": "Time", "type": "time", "config": {}, "values": [row[0] for row in series["values"]]}
    return {"refId": target["refId"], "name": name, "fields": [time, field]}


def _name(alias: str, series: dict[str, Any], column: str) -> str:
    """The name of a series: its alias with the patterns filled in, or all that is known of it."""
    tags = series.get("tags", {})
    if not alias:
        known = ", ".join(f"{key}: {value}" for key, value in tags.items())
        return f"{series['name']}.{column}" + (f" {{ {known} }}" if known else "")

    def filled(found: re.Match[str]) -> str:
        tag, word = found.groups()
        return str(tags.get(tag, found[0])) if tag else str(column if word == "col" else series["name"])

    return _PATTERN.sub(filled, alias)


def _table(ref: str, series: Sequence[dict[str, Any]]) -> Frame:
    fields = list(_columns(series))
    return {"refId": ref, "name": series[0]["name"], "fields": fields}


def _columns(series: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    rows = [(each, row) for each in series for row in each["values"]]
    first, *others = series[0]["columns"]
    if first == "time":
        yield {"name": "Time", "type": "time", "config": {}, "values": [row[0] for _, row in rows]}
    else:
        yield _field(first, [row[0] for _, row in rows])
    for tag in series[0].get("tags", {}):
        yield _field(tag, [each["tags"][tag] for each, _ in rows])
    for at, column in enumerate(others, 1):
        yield _field(column, [row[at] for _, row in rows])


def _field(name: str, values: list[Any]) -> dict[str, Any]:
    known = next((value for value in values if value is not None), None)
    kind = "boolean" if isinstance(known, bool) else "string" if isinstance(known, str) else "number"
    return {"name": name, "type": kind, "config": {}, "values": values}
