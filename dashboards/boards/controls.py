"""The controls at the top of a board: variables to choose from, and annotations to switch on and off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from boards import sdk
from boards.influx import LAST_YEAR, RUN, SOURCE, STUDY, TIME_RANGE, QueryBuilder
from boards.sdk import Dataquery, models

__all__ = [
    "ANNOTATIONS",
    "BASELINE",
    "BASELINE_FIGURES",
    "NAME",
    "OBJECTIVE",
    "REPLICAS",
    "RESOLUTION",
    "RUNS",
    "SERVICE",
    "THIS_RUN",
    "THIS_STUDY",
]

ANY: Final = ".*"


def _query_variable(
    name: str, label: str, description: str, query: str, *, many: bool = False, newest: bool = False
) -> Any:
    """A variable with values from InfluxDB. ``many`` allows several or all; ``newest`` sorts the highest first."""
    builder = sdk.dashboard.QueryVariable(name).label(label).description(description).datasource(SOURCE).query(query)
    builder.definition(query).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    sort = models.VariableSort.ALPHABETICAL_DESC if newest else models.VariableSort.ALPHABETICAL_ASC
    builder.sort(sort).multi(many).include_all(many)
    if many:
        builder.all_value(ANY).current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return builder


def _run_variable(name: str, label: str, description: str) -> Any:
    query = f'SHOW TAG VALUES FROM "run_event" WITH KEY = "run" WHERE {LAST_YEAR}'
    return _query_variable(name, label, description, query, newest=True)


def _baseline_variable(name: str, field: str) -> Any:
    query = f'SELECT "{field}" FROM "run_summary" WHERE "run" = \'${{baseline:raw}}\' AND {LAST_YEAR}'
    builder = _query_variable(name, name, f"The baseline's {field}, which the other runs are compared with.", query)
    return builder.hide(models.VariableHide.HIDE_VARIABLE)


def _custom_variable(name: str, label: str, description: str, values: dict[str, str], default: str) -> Any:
    builder = sdk.dashboard.CustomVariable(name).label(label).description(description)
    builder.values(", ".join(f"{text} : {value}" for text, value in values.items()))
    options = [
        models.VariableOption(selected=text == default, text=text, value=value) for text, value in values.items()
    ]
    return builder.options(options).current(models.VariableOption(selected=True, text=default, value=values[default]))


THIS_RUN: Final = _run_variable("run", "Run", "The run to show; the newest comes first.")
BASELINE: Final = _run_variable("baseline", "Baseline", "The run to compare the others with.")
RUNS: Final = (
    _query_variable(
        "runs",
        "Runs",
        "Two to five runs to overlay.",
        f'SHOW TAG VALUES FROM "run_event" WITH KEY = "run" WHERE {LAST_YEAR}',
        newest=True,
    )
    .multi(True)
    .include_all(False)
)
NAME: Final = _query_variable(
    "name",
    "Request",
    "The names of the requests to show.",
    f'SHOW TAG VALUES FROM "rollup" WITH KEY = "name" WHERE {RUN} AND {LAST_YEAR}',
    many=True,
)
SERVICE: Final = _query_variable(
    "service",
    "Service",
    "The services whose containers to show.",
    f'SHOW TAG VALUES FROM "container" WITH KEY = "service" WHERE {RUN} AND {LAST_YEAR}',
    many=True,
)
RESOLUTION: Final = _custom_variable(
    "res",
    "Resolution",
    "Percentiles cannot be averaged and exist at these resolutions only. Choose 10 s or 1 min for a long run.",
    {"1 s": "1", "10 s": "10", "1 min": "60"},
    "1 s",
)
OBJECTIVE: Final = _query_variable(
    "objective",
    "Objective (ms)",
    "The latency objective of the run to draw as a line.",
    f'SELECT "limit" FROM "objective" WHERE {RUN} AND {LAST_YEAR} AND "metric" =~ /^(p[0-9.]+|mean|max)/',
)
THIS_STUDY: Final = _query_variable(
    "study",
    "Study",
    "The study to show; the newest comes first.",
    f'SHOW TAG VALUES FROM "capacity_study" WITH KEY = "study" WHERE {LAST_YEAR}',
    newest=True,
)
REPLICAS: Final = (
    _query_variable(
        "replicas",
        "Replicas",
        "The numbers of replicas to draw a map for.",
        f'SELECT "replicas" FROM "capacity_trial" WHERE {STUDY} AND {LAST_YEAR}',
    )
    .sort(models.VariableSort.NUMERICAL_ASC)
    .multi(True)
    .include_all(True)
    .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
)
"""Panels are repeated for each of them, so *All* needs no value of its own."""

FIGURES: Final = {
    "rps": "rps",
    "mean": "mean_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "failures": "failures_pct",
    "cpu": "target_cpu_cores",
    "memory": "target_mem_bytes",
}
BASELINE_FIGURES: Final = tuple(_baseline_variable(f"base_{name}", field) for name, field in FIGURES.items())
"""InfluxQL cannot join two runs, so hidden variables hold the figures of the baseline."""


_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class AnnotationQuery(Dataquery):
    """The query of an annotation, with the column that holds its text and the columns that hold its tags."""

    query: str
    text_column: str
    tags_column: str

    def to_json(self) -> dict[str, Any]:
        """Encode the annotation's target: columns for the data source, and the fields that Grafana's types require."""
        return {
            "datasource": SOURCE.to_json(),
            "fromAnnotations": True,
            "limit": _LIMIT,
            "matchAny": False,
            "query": self.query,
            "rawQuery": True,
            "refId": "Anno",
            "resultFormat": "table",
            "tags": [],
            "tagsColumn": self.tags_column,
            "textColumn": self.text_column,
            "type": "dashboard",
        }


def _annotation(name: str, color: str, query: AnnotationQuery) -> Any:
    builder = sdk.dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color)
    return builder.target(QueryBuilder(query))


def _events(*kinds: str) -> AnnotationQuery:
    query = f'SELECT "text", "kind" FROM "run_event" WHERE {RUN} AND {TIME_RANGE} AND "kind" =~ /^({"|".join(kinds)})$/'
    return AnnotationQuery(query, "text", "kind")


_KILLED: Final = f"""SELECT "oom" AS "kills" FROM "container"
WHERE {RUN} AND {TIME_RANGE} AND "oom" > 0 GROUP BY "service", "container" """

ANNOTATIONS: Final = (
    _annotation("Run", "blue", _events("started", "ramp_done", "stage", "stopping", "stopped", "names_capped")),
    _annotation("Workers", "purple", _events("worker_joined", "worker_lost", "worker_quit", "orphaned")),
    _annotation("Problems", "red", _events("restarted", "crashed", "target_exited", "interrupted", "exception")),
    _annotation("Out of memory", "dark-red", AnnotationQuery(" ".join(_KILLED.split()), "kills", "service,container")),
)
