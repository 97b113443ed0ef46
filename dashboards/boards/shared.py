"""Panels and column settings that several boards share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from boards import panels
from boards.influx import LAST_YEAR, NAMES, PER_SECOND, RES, RUN, SECONDS, SERVICES, TIME_RANGE, series, table

if TYPE_CHECKING:
    from boards.panels import Column

__all__ = [
    "CLOSED_MODEL",
    "DASHED",
    "DOTTED",
    "EITHER_MODEL",
    "FAILED_STEPS",
    "LATENCY",
    "NO_RATE",
    "OBJECTIVE",
    "OPEN_ONLY",
    "RUN_ID",
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
CLOSED_MODEL: Final = "Closed model: users wait for answers, so percentiles show too few of the slow ones."
"""What a reader of a percentile has to know, where no run has a rate of arrivals."""
EITHER_MODEL: Final = (
    "Without a rate, users wait for answers (closed model), so percentiles show too few of the slow ones; with a rate "
    "(open model), times count from the intended start."
)
"""The same where a run may have one."""
OPEN_ONLY: Final = "Empty for runs without a rate."
NO_RATE: Final = "no rate of arrivals: closed model"
"""What a panel of the open model shows for the other runs."""
FAILED_STEPS: Final = ((None, panels.GOOD), (0.1, panels.WARNING), (1.0, panels.BAD))
"""Thresholds of the percentage of failed requests."""
VERDICT_COLORS: Final = {"pass": panels.GOOD, "fail": panels.BAD, "inconclusive": panels.WARNING}
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
RUN_ID: Final[Column] = {**TO_RUN, "custom.minWidth": 115}
"""The column of a run's id, which fits on two lines: date, and time with the rest."""
DASHED: Final[Column] = {
    "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
    "custom.fillOpacity": 0,
}
DOTTED: Final[Column] = {
    "custom.lineStyle": {"fill": "dot", "dash": [2, 6]},
    "custom.fillOpacity": 0,
}


OBJECTIVE: Final[Column] = {**DASHED, "color": {"mode": "fixed", "fixedColor": panels.BAD}}
"""The line of an objective."""


def help_text(content: str) -> Any:
    """Explain how to use a board, and what to do when it is empty."""
    return panels.text("How to use this board", "What the board shows, and what to do when it is empty.", content)


def load() -> Any:
    """Users and requests per second."""
    return panels.timeseries(
        "Users and requests per second",
        "Active users, the number of users the test asks for, and requests completed per second.",
        "reqps",
        series(f'SELECT "n" {PER_SECOND} AS "requests/s" FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}'),
        series(
            f'SELECT "users" AS "users", "target_users" AS "target users" FROM "rollup_all" '
            f"WHERE {RUN} AND {RES} AND {TIME_RANGE}",
            ref="B",
        ),
        columns={"/users$/": {"unit": "short", "custom.axisPlacement": "right"}, "target users": DASHED},
    )


def failures() -> Any:
    """Failure rate."""
    return panels.timeseries(
        "Failed requests",
        "Percentage of requests that failed.",
        "percent",
        series(f'SELECT 100 * "err" / "n" AS "failed" FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}'),
        columns={"failed": {"color": {"mode": "fixed", "fixedColor": panels.BAD}}},
    )


def objective_line(ref: str) -> Any:
    """Draw the selected objective as a horizontal line; a run without one has no line."""
    return series(
        f'SELECT "objective" FROM (SELECT "n" * 0 + 0${{objective:raw}} AS "objective" FROM "rollup_all" '
        f'WHERE {RUN} AND {RES} AND {TIME_RANGE}) WHERE "objective" > 0',
        ref=ref,
    )


def latency() -> Any:
    """Mean and percentiles, with the objective as a line."""
    return panels.timeseries(
        "Latency",
        "Mean and percentiles of the response time, failed requests included, and the objective; dotted, for runs with "
        f"a rate, percentiles of the service time, from sent to answered. {EITHER_MODEL}",
        LATENCY,
        series(
            'SELECT "rt_sum" / "timed" AS "mean", "p50" AS "p50", "p95" AS "p95", "p99" AS "p99" '
            f'FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}'
        ),
        objective_line("B"),
        series(
            'SELECT "service_p95" AS "service p95", "service_p99" AS "service p99" '
            f'FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}',
            ref="C",
        ),
        columns={
            "objective": OBJECTIVE,
            "/^service /": DOTTED,
        },
    )


def _usage(select: str, ref: str = "A", alias: str = "$tag_service $tag_container") -> Any:
    return series(
        f'SELECT {select} FROM "container" WHERE {RUN} AND {SERVICES} AND {TIME_RANGE} '
        'GROUP BY time($__interval), "service", "container" fill(none)',
        alias,
        ref,
    )


def cpu() -> Any:
    """CPU usage of each container and its limit."""
    return panels.timeseries(
        "CPU of each container",
        "CPU cores used by each container or process; a dashed line shows its limit, if it has one.",
        "short",
        _usage('mean("cpu_cores")'),
        _usage('max("cpu_limit")', "B", "$tag_service $tag_container limit"),
        columns={"/ limit$/": DASHED},
        axis="cores",
        plain_names=True,
    )


def throttling() -> Any:
    """CPU throttling of each container."""
    return panels.timeseries(
        "CPU throttling of each container",
        "Percentage of scheduling periods in which the CPU limit throttled the container.",
        "percent",
        _usage('max("throttled_pct")'),
        plain_names=True,
    )


def memory() -> Any:
    """Memory of each container and its limit."""
    return panels.timeseries(
        "Memory of each container",
        "Memory used by each container or process; a dashed line shows its limit, if it has one.",
        "bytes",
        _usage('max("mem_bytes")'),
        _usage('max("mem_limit")', "B", "$tag_service $tag_container limit"),
        columns={"/ limit$/": DASHED},
        plain_names=True,
    )


def endpoints() -> Any:
    """Statistics of each request name."""
    shown = f'FROM "rollup" WHERE {RUN} AND {SECONDS} AND {NAMES} AND {TIME_RANGE} GROUP BY "method", "name"'
    whole = f'FROM "rollup" WHERE {RUN} AND "res" = \'run\' AND {NAMES} AND {LAST_YEAR} GROUP BY "method", "name"'
    to_endpoint = (
        "/d/loadstone-endpoint?var-run=${run}&var-res=${res}&var-name=${__data.fields.name}&${__url_time_range}"
    )
    return panels.table(
        "Requests by name",
        "Statistics of each request name in the selected time range; percentiles cover the whole, finished run. "
        f"Service times are those of a run with a rate. {EITHER_MODEL}",
        table(
            'SELECT sum("n") AS "requests", sum("err") AS "failures", 100 * sum("err") / sum("n") AS "failed", '
            f'sum("rt_sum") / sum("timed") AS "mean", max("rt_max") AS "longest" {shown}'
        ),
        table(f'SELECT "p50" AS "p50", "p95" AS "p95", "p99" AS "p99" {whole}', "B"),
        table(f'SELECT "service_p95" AS "service p95" {whole}', "C"),
        columns={
            "name": {"links": [{"title": "Open this endpoint", "url": to_endpoint}]},
            "requests": {"unit": panels.COUNT, "custom.width": 105},
            "failures": {"unit": panels.COUNT},
            "failed": {"unit": "percent", "custom.cellOptions": {"type": "color-text"}, "thresholds": _steps()},
            **{
                name: {"unit": LATENCY, "decimals": 1}
                for name in ("mean", "longest", "p50", "p95", "p99", "service p95")
            },
        },
        sort=("requests", True),
        merged=True,
    )


def containers() -> Any:
    """Mean and peak usage of each container."""
    return panels.table(
        "Container usage",
        "Mean and peak usage of each container in the selected time range, with its limits.",
        table(
            'SELECT mean("cpu_cores") AS "CPU mean", max("cpu_cores") AS "CPU highest", '
            'last("cpu_limit") AS "CPU limit", '
            'max("throttled_pct") AS "throttled", max("mem_bytes") AS "memory highest", '
            'last("mem_limit") AS "memory limit", sum("oom") AS "out of memory" '
            f'FROM "container" WHERE {RUN} AND {SERVICES} AND {TIME_RANGE} GROUP BY "service", "container"'
        ),
        columns={
            "throttled": {"unit": "percent"},
            "memory highest": {"unit": "bytes"},
            "memory limit": {"unit": "bytes"},
            **{name: {"decimals": 2} for name in ("CPU mean", "CPU highest", "CPU limit")},
            "out of memory": {"unit": panels.COUNT},
        },
        sort=("CPU highest", True),
    )


def _steps() -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in FAILED_STEPS]}
