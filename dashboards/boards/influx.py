"""InfluxQL queries for panels, variables and annotations, and the conditions that they share.

Variables always have a format: ``:raw`` inserts the value unchanged; ``:regex`` escapes it, slashes included, and joins
several values. The default format of a bare variable differs between versions of Grafana.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from boards.sdk import Builder, Dataquery
from boards.sdk import common_models as common

__all__ = [
    "LAST_MINUTE",
    "LAST_YEAR",
    "NAMES",
    "PER_SECOND",
    "RES",
    "RUN",
    "SECONDS",
    "SERVICES",
    "SOURCE",
    "STUDY",
    "TIME_RANGE",
    "Query",
    "QueryBuilder",
    "series",
    "table",
]

SOURCE: Final = common.DataSourceRef(type_val="influxdb", uid="loadstone-influxdb")

TIME_RANGE: Final = "$timeFilter"
"""The time range that is selected on the board."""
LAST_YEAR: Final = "time > now() - 365d"
"""For points that exist once per run: they are found regardless of the selected time range."""
LAST_MINUTE: Final = "time > ${__to}ms - 60s AND time <= ${__to}ms"
"""The last minute of the selected time range: raw points are never read over a longer window."""
RUN: Final = "\"run\" = '${run:raw}'"
STUDY: Final = "\"study\" = '${study:raw}'"
RES: Final = "\"res\" = '${res:raw}s'"
SECONDS: Final = "\"res\" = '1s'"
NAMES: Final = '"name" =~ /^${name:regex}$/'
SERVICES: Final = '"service" =~ /^${service:regex}$/'
PER_SECOND: Final = "/ ${res:raw}"
"""Divides a count per time bucket by the length of the bucket."""


@dataclass(frozen=True, slots=True)
class Query(Dataquery):
    """One InfluxQL query. ``alias`` names its series: ``$col`` is a column, ``$tag_NAME`` a tag."""

    text: str
    alias: str = ""
    ref: str = "A"
    as_table: bool = False

    def to_json(self) -> dict[str, Any]:
        """Encode the query as a panel's target for the InfluxDB data source."""
        alias = {"alias": self.alias} if self.alias else {}
        return {
            "datasource": SOURCE.to_json(),
            "query": self.text,
            "rawQuery": True,
            "refId": self.ref,
            "resultFormat": "table" if self.as_table else "time_series",
            **alias,
        }


class QueryBuilder(Builder[Dataquery]):
    """Wraps a finished query for the SDK, whose panels accept only builders."""

    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        """Return the query."""
        return self._query


def series(text: str, alias: str = "$col", ref: str = "A") -> Query:
    """Make a query whose columns are drawn over time."""
    return Query(" ".join(text.split()), alias=alias, ref=ref)


def table(text: str, ref: str = "A") -> Query:
    """Make a query whose rows are shown as a table, with tags as columns."""
    return Query(" ".join(text.split()), ref=ref, as_table=True)
