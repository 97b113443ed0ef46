"""Variables of the boards."""

from __future__ import annotations

from typing import Any, Final

from boards import sdk
from boards.influx import EVER, RUN, SOURCE
from boards.sdk import models

__all__ = ["BASELINE", "BASELINE_FIGURES", "NAME", "OBJECTIVE", "RESOLUTION", "RUNS", "SERVICE", "THIS_RUN"]

ANY: Final = ".*"


def _asked(name: str, label: str, why: str, query: str, *, many: bool = False, newest: bool = False) -> Any:
    """A variable whose values InfluxDB knows. ``many``: several or all. ``newest``: the highest is the first."""
    made = sdk.dashboard.QueryVariable(name).label(label).description(why).datasource(SOURCE).query(query)
    made.definition(query).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    sort = models.VariableSort.ALPHABETICAL_DESC if newest else models.VariableSort.ALPHABETICAL_ASC
    made.sort(sort).multi(many).include_all(many)
    if many:
        made.all_value(ANY).current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return made


def _ids(name: str, label: str, why: str) -> Any:
    query = f'SHOW TAG VALUES FROM "run_event" WITH KEY = "run" WHERE {EVER}'
    return _asked(name, label, why, query, newest=True)


def _hidden(name: str, field: str) -> Any:
    query = f'SELECT "{field}" FROM "run_summary" WHERE "run" = \'${{baseline:raw}}\' AND {EVER}'
    made = _asked(name, name, f"The baseline's {field}, to compare with.", query)
    return made.hide(models.VariableHide.HIDE_VARIABLE)


def _chosen(name: str, label: str, why: str, values: dict[str, str], default: str) -> Any:
    made = sdk.dashboard.CustomVariable(name).label(label).description(why)
    made.values(", ".join(f"{text} : {value}" for text, value in values.items()))
    options = [
        models.VariableOption(selected=text == default, text=text, value=value) for text, value in values.items()
    ]
    return made.options(options).current(models.VariableOption(selected=True, text=default, value=values[default]))


THIS_RUN: Final = _ids("run", "Run", "The run that is shown; the newest is the first.")
BASELINE: Final = _ids("baseline", "Baseline", "The run that the others are compared with.")
RUNS: Final = (
    _asked(
        "runs",
        "Runs",
        "Two to five runs that are laid over each other.",
        f'SHOW TAG VALUES FROM "run_event" WITH KEY = "run" WHERE {EVER}',
        newest=True,
    )
    .multi(True)
    .include_all(False)
)
NAME: Final = _asked(
    "name",
    "Request",
    "Names of requests.",
    f'SHOW TAG VALUES FROM "rollup" WITH KEY = "name" WHERE {RUN} AND {EVER}',
    many=True,
)
SERVICE: Final = _asked(
    "service",
    "Service",
    "Services whose containers are shown.",
    f'SHOW TAG VALUES FROM "container" WITH KEY = "service" WHERE {RUN} AND {EVER}',
    many=True,
)
RESOLUTION: Final = _chosen(
    "res",
    "Resolution",
    "Percentiles exist at these resolutions only: they cannot be averaged. Take 10 s or 1 min for a long run.",
    {"1 s": "1", "10 s": "10", "1 min": "60"},
    "1 s",
)
OBJECTIVE: Final = _asked(
    "objective",
    "Objective (ms)",
    "A latency limit of the run, drawn as a line.",
    f'SELECT "limit" FROM "objective" WHERE {RUN} AND {EVER} AND "metric" =~ /^(p[0-9.]+|mean|max)/',
)

FIGURES: Final = {
    "rps": "rps",
    "mean": "mean_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "failures": "failures_pct",
    "cpu": "target_cpu_cores",
    "memory": "target_mem_bytes",
}
BASELINE_FIGURES: Final = tuple(_hidden(f"base_{name}", field) for name, field in FIGURES.items())
"""InfluxQL cannot join two runs, so the figures of the baseline travel in hidden variables."""
