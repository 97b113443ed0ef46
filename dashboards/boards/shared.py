"""Panels, columns and conditions that several boards have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from boards import panels
from boards.influx import EVER, NAMES, PER_SPAN, RES, RUN, SECONDS, SERVICES, SHOWN, series, table

if TYPE_CHECKING:
    from boards.panels import Column

__all__ = [
    "FAILED_STEPS",
    "LATENCY",
    "TO_RUN",
    "VERDICT_COLORS",
    "VERDICT_WORDS",
    "containers",
    "cpu",
    "endpoints",
    "failures",
    "help_text",
    "latency",
    "load",
    "memory",
    "objective_line",
    "throttling",
]

LATENCY: Final = "ms"
FAILED_STEPS: Final = ((None, panels.GOOD), (0.1, panels.MEH), (1.0, panels.BAD))
"""Percent of failed requests."""
VERDICT_COLORS: Final = {"pass": panels.GOOD, "fail": panels.BAD, "inconclusive": panels.MEH}
VERDICT_WORDS: Final = panels.words(VERDICT_COLORS)
TO_RUN: Final[Column] = {
    "links": [
        {
            "title": "Open this run in its own time range",
            "url": "/d/loadstone-run?var-run=${__data.fields.run}"
            "&from=${__data.fields.from_ms}&to=${__data.fields.to_ms}",
        }
    ]
}
DASHED: Final[Column] = {
    "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
    "custom.fillOpacity": 0,
}
_SUSPECT_SHARE: Final = 90


def help_text(content: str) -> Any:
    """What to do when a board is empty."""
    return panels.text("How to use this board", "What the board shows, and what to do when it is empty.", content)


def load() -> Any:
    """Users and requests per second."""
    return panels.timeseries(
        "Users and requests per second",
        "How many users are active, how many there should be, and how many requests end each second.",
        "reqps",
        series(f'SELECT "n" {PER_SPAN} AS "requests/s" FROM "rollup_all" WHERE {RUN} AND {RES} AND {SHOWN}'),
        series(
            f'SELECT "users" AS "users", "target_users" AS "users wanted" FROM "rollup_all" '
            f"WHERE {RUN} AND {RES} AND {SHOWN}",
            ref="B",
        ),
        columns={"/^users/": {"unit": "short", "custom.axisPlacement": "right"}, "users wanted": DASHED},
    )


def failures() -> Any:
    """Failure rate."""
    return panels.timeseries(
        "Failed requests",
        "Share of the requests that failed.",
        "percent",
        series(f'SELECT 100 * "err" / "n" AS "failed" FROM "rollup_all" WHERE {RUN} AND {RES} AND {SHOWN}'),
        columns={"failed": {"color": {"mode": "fixed", "fixedColor": panels.BAD}}},
    )


def objective_line(ref: str) -> Any:
    """The chosen objective as a level line; nothing where the run has none."""
    return series(
        f'SELECT "objective" FROM (SELECT "n" * 0 + 0${{objective:raw}} AS "objective" FROM "rollup_all" '
        f'WHERE {RUN} AND {RES} AND {SHOWN}) WHERE "objective" > 0',
        ref=ref,
    )


def latency() -> Any:
    """Mean and percentiles with the objective's line."""
    return panels.timeseries(
        "Latency",
        "Mean and percentiles of the response time over all requests, failed ones included, with the objective.",
        LATENCY,
        series(
            'SELECT "rt_sum" / "n" AS "mean", "p50" AS "p50", "p95" AS "p95", "p99" AS "p99" '
            f'FROM "rollup_all" WHERE {RUN} AND {RES} AND {SHOWN}'
        ),
        objective_line("B"),
        columns={"objective": {**DASHED, "color": {"mode": "fixed", "fixedColor": panels.BAD}}},
    )


def _usage(select: str, ref: str = "A", alias: str = "$tag_service $tag_container") -> Any:
    return series(
        f'SELECT {select} FROM "container" WHERE {RUN} AND {SERVICES} AND {SHOWN} '
        'GROUP BY time($__interval), "service", "container" fill(none)',
        alias,
        ref,
    )


def cpu() -> Any:
    """CPU of each container against its limit."""
    return panels.timeseries(
        "CPU of each container",
        "Cores that each container or process uses, with its limit as a dashed line where it has one.",
        "short",
        _usage('mean("cpu_cores")'),
        _usage('max("cpu_limit")', "B", "$tag_service $tag_container limit"),
        columns={"/ limit$/": DASHED, "/.*/": {"custom.axisLabel": "cores"}},
    )


def throttling() -> Any:
    """Throttling of each container."""
    return panels.timeseries(
        "CPU throttling of each container",
        "Share of its scheduling periods in which a container was held back by its CPU limit.",
        "percent",
        _usage('max("throttled_pct")'),
    )


def memory() -> Any:
    """Memory of each container against its limit."""
    return panels.timeseries(
        "Memory of each container",
        "Memory in use by each container or process, with its limit as a dashed line where it has one.",
        "bytes",
        _usage('max("mem_bytes")'),
        _usage('max("mem_limit")', "B", "$tag_service $tag_container limit"),
        columns={"/ limit$/": DASHED},
    )


def endpoints() -> Any:
    """All request names with their figures."""
    shown = f'FROM "rollup" WHERE {RUN} AND {SECONDS} AND {NAMES} AND {SHOWN} GROUP BY "method", "name"'
    whole = f'FROM "rollup" WHERE {RUN} AND "res" = \'run\' AND {NAMES} AND {EVER} GROUP BY "method", "name"'
    to_endpoint = (
        "/d/loadstone-endpoint?var-run=${run}&var-res=${res}&var-name=${__data.fields.name}&${__url_time_range}"
    )
    return panels.table(
        "Requests by name",
        "Each request name in the shown time; its percentiles are those of the whole run, once that has ended.",
        table(
            'SELECT sum("n") AS "requests", sum("err") AS "failures", 100 * sum("err") / sum("n") AS "failed", '
            f'sum("rt_sum") / sum("n") AS "mean", max("rt_max") AS "longest" {shown}'
        ),
        table(f'SELECT "p50" AS "p50", "p95" AS "p95", "p99" AS "p99" {whole}', "B"),
        columns={
            "name": {"links": [{"title": "Open this endpoint", "url": to_endpoint}]},
            "failed": {"unit": "percent", "custom.cellOptions": {"type": "color-text"}, "thresholds": _steps()},
            **{name: {"unit": LATENCY, "decimals": 1} for name in ("mean", "longest", "p50", "p95", "p99")},
        },
        sort=("requests", True),
        merged=True,
    )


def containers() -> Any:
    """All containers with what they used at most."""
    return panels.table(
        "What each container used",
        "Mean and highest usage of each container in the shown time, with its limits.",
        table(
            'SELECT mean("cpu_cores") AS "CPU mean", max("cpu_cores") AS "CPU highest", '
            'last("cpu_limit") AS "CPU limit", '
            'max("throttled_pct") AS "throttled", max("mem_bytes") AS "memory highest", '
            'last("mem_limit") AS "memory limit", max("oom") AS "out of memory" '
            f'FROM "container" WHERE {RUN} AND {SERVICES} AND {SHOWN} GROUP BY "service", "container"'
        ),
        columns={
            "throttled": {"unit": "percent"},
            "memory highest": {"unit": "bytes"},
            "memory limit": {"unit": "bytes"},
            **{name: {"decimals": 2} for name in ("CPU mean", "CPU highest", "CPU limit")},
        },
        sort=("CPU highest", True),
    )


def _steps() -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in FAILED_STEPS]}
