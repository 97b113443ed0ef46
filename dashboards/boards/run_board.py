"""Run: one load test and its effect on the target, on a common time axis."""

from __future__ import annotations

from typing import Any, Final

from boards import controls, panels
from boards.board import Board, Row
from boards.influx import LAST_YEAR, NAMES, RUN, SECONDS, TIME_RANGE, series, table
from boards.shared import (
    EITHER_MODEL,
    FAILED_STEPS,
    LATENCY,
    TO_RUN,
    VERDICT_WORDS,
    cpu,
    endpoints,
    failures,
    help_text,
    latency,
    load,
    memory,
    throttling,
)

__all__ = ["RUN_BOARD"]

_HELP: Final = (
    "**Empty?** Choose a *Run* above and click its **verdict** to show the time range of the run. While the run is in "
    "progress, select *Last 30 minutes*. If no run is listed, start one with `loadstone run --influx-url URL`; if it "
    "does not appear, check *Generator and telemetry health*. Drag over a chart to zoom in; all charts share the "
    "crosshair. Percentiles are stored at the selected *Resolution* and never averaged."
)


def _verdict() -> Any:
    return panels.stat(
        "Verdict",
        "Verdict of the run: pass, fail, or inconclusive if the measurement itself cannot be trusted; none while the "
        "run is in progress.",
        "string",
        table(
            'SELECT "verdict" AS "verdict", "run" AS "run", "start_ms" - 10000 AS "from_ms", '
            f'"end_ms" + 5000 AS "to_ms" FROM "run_summary" WHERE {RUN} AND {LAST_YEAR}'
        ),
        field="verdict",
        mappings=VERDICT_WORDS,
        empty="none yet",
        columns={"verdict": TO_RUN},
        background=True,
    )


def _figure(title: str, description: str, unit: str, select: str, **more: Any) -> Any:
    query = series(f'SELECT {select} FROM "rollup_all" WHERE {RUN} AND {SECONDS} AND {TIME_RANGE}', title)
    return panels.stat(title, description, unit, query, **more)


def _whole_run_p95() -> Any:
    return panels.stat(
        "Run p95",
        f"95th percentile of the response time over the whole run; appears when the run has ended. {EITHER_MODEL}",
        LATENCY,
        series(f'SELECT "p95" FROM "rollup_all" WHERE {RUN} AND "res" = \'run\' AND {LAST_YEAR}', "p95"),
    )


def _figures() -> Row:
    return Row(
        4,
        (
            (3, _verdict()),
            (
                3,
                _figure(
                    "Active users", "Active users at the end of the selected time range.", "short", 'last("users")'
                ),
            ),
            (3, _figure("Requests/s", "Mean number of requests completed per second.", "reqps", 'mean("n")')),
            (3, _figure("Peak", "Highest number of requests completed in one second.", "reqps", 'max("n")')),
            (
                3,
                _figure(
                    "Failed",
                    "Percentage of requests that failed.",
                    "percent",
                    '100 * sum("err") / sum("n") AS "failed"',
                    steps=FAILED_STEPS,
                ),
            ),
            (3, _figure("Mean", "Mean response time.", LATENCY, 'sum("rt_sum") / sum("timed") AS "mean"')),
            (3, _whole_run_p95()),
            (3, _figure("Requests", "Number of completed requests.", panels.COUNT, 'sum("n")')),
        ),
    )


def _errors() -> Any:
    return panels.table(
        "Errors",
        "Failed requests by name and kind of error, with the HTTP status and a sample message.",
        table(
            'SELECT sum("n") AS "failures", last("status") AS "status", last("sample") AS "message" FROM "errors" '
            f'WHERE {RUN} AND {NAMES} AND {TIME_RANGE} GROUP BY "method", "name", "kind"'
        ),
        columns={
            "method": {"custom.width": 80},
            "name": {"custom.width": 120},
            "kind": {"custom.width": 150},
            "failures": {"unit": panels.COUNT, "custom.width": 100},
        },
        sort=("failures", True),
    )


def _errors_over_time() -> Any:
    return panels.timeseries(
        "Errors by kind",
        "Number of failed requests by kind of error.",
        "short",
        series(
            f'SELECT sum("n") FROM "errors" WHERE {RUN} AND {NAMES} AND {TIME_RANGE} '
            'GROUP BY time(${res:raw}s), "kind" fill(none)',
            "$tag_kind",
        ),
        bars=True,
        stacked=True,
    )


def _objectives() -> Any:
    ok = panels.words({"true": panels.GOOD, "false": panels.BAD})
    return panels.table(
        "Objectives",
        "Objectives of the run, the values measured in its window, and the reason if an objective was not met.",
        table(
            'SELECT "text" AS "objective", "value" AS "measured", "limit" AS "limit", "ok" AS "met", '
            f'"reason" AS "reason" FROM "objective" WHERE {RUN} AND {LAST_YEAR}'
        ),
        columns={
            "met": {
                "custom.width": 80,
                "mappings": [each.to_json() for each in ok],
                "custom.cellOptions": {"type": "color-background"},
            }
        },
    )


def _events() -> Any:
    return panels.table(
        "Events",
        "All events of the run in chronological order.",
        table(f'SELECT "kind" AS "event", "text" AS "details" FROM "run_event" WHERE {RUN} AND {LAST_YEAR}'),
        columns={"event": {"custom.width": 115}},
        hidden=(),
        sort=("Time", False),
    )


RUN_BOARD: Final = Board(
    uid="loadstone-run",
    description="One load test: users, requests, failures and latency, and the containers on the same time axis.",
    variables=(
        controls.THIS_RUN,
        controls.NAME,
        controls.SERVICE,
        controls.RESOLUTION,
        controls.OBJECTIVE,
    ),
    annotations=controls.ANNOTATIONS,
    rows=(
        _figures(),
        Row(8, ((24, load()),)),
        Row(5, ((24, failures()),)),
        Row(9, ((24, latency()),)),
        Row(8, ((24, cpu()),)),
        Row(5, ((24, throttling()),)),
        Row(8, ((24, memory()),)),
        Row(9, ((24, endpoints()),)),
        Row(8, ((16, _errors()), (8, _errors_over_time()))),
        Row(7, ((10, _objectives()), (14, _events()))),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
