"""InfluxQL as panels, variables and annotations carry it, and the conditions that all of them share.

Variables are always spelt with a format: ``:raw`` is the value as it is, ``:regex`` escapes it, slashes included, and
joins several values. What a bare variable becomes has changed from one version of Grafana to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from boards.sdk import Builder, Dataquery
from boards.sdk import common_models as common

__all__ = [
    "DATABASE",
    "EVER",
    "LAST_MINUTE",
    "NAMES",
    "PER_SPAN",
    "RES",
    "RUN",
    "SECONDS",
    "SERVICES",
    "SHOWN",
    "SOURCE",
    "Built",
    "Query",
    "series",
    "table",
]

SOURCE: Final = common.DataSourceRef(type_val="influxdb", uid="loadstone-influxdb")
DATABASE: Final = "loadstone"

SHOWN: Final = "$timeFilter"
"""The time range that the board shows."""
EVER: Final = "time > now() - 365d"
"""For what is stored once for each run: it is found whatever time range is shown."""
LAST_MINUTE: Final = "time > ${__to}ms - 60s AND time <= ${__to}ms"
"""The end of the shown range: raw points are only ever read in windows of a minute."""
RUN: Final = "\"run\" = '${run:raw}'"
RES: Final = "\"res\" = '${res:raw}s'"
SECONDS: Final = "\"res\" = '1s'"
NAMES: Final = '"name" =~ /^${name:regex}$/'
SERVICES: Final = '"service" =~ /^${service:regex}$/'
PER_SPAN: Final = "/ ${res:raw}"
"""Turns a count of a span into a rate a second."""


@dataclass(frozen=True, slots=True)
class Query(Dataquery):
    """One InfluxQL query. ``alias`` names its series: ``$col`` is a column, ``$tag_NAME`` a tag."""

    text: str
    alias: str = ""
    ref: str = "A"
    as_table: bool = False

    def to_json(self) -> dict[str, Any]:
        """The target of a panel, as the InfluxDB data source reads it."""
        alias = {"alias": self.alias} if self.alias else {}
        return {
            "datasource": SOURCE.to_json(),
            "query": self.text,
            "rawQuery": True,
            "refId": self.ref,
            "resultFormat": "table" if self.as_table else "time_series",
            **alias,
        }


class Built(Builder[Dataquery]):
    """A query as the SDK's builders take it."""

    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        """The query."""
        return self._query


def series(text: str, alias: str = "$col", ref: str = "A") -> Query:
    """A query whose columns are drawn over time."""
    return Query(" ".join(text.split()), alias=alias, ref=ref)


def table(text: str, ref: str = "A") -> Query:
    """A query whose rows are shown as they are, tags as columns."""
    return Query(" ".join(text.split()), ref=ref, as_table=True)
