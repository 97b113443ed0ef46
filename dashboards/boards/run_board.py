"""Run: what a load test does to the target, on one axis of time."""

from __future__ import annotations

from typing import Any, Final

from boards import panels, variables
from boards.annotations import ANNOTATIONS
from boards.board import Board, Row
from boards.influx import EVER, NAMES, RUN, SECONDS, SHOWN, series, table
from boards.shared import (
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
    "**Empty?** Choose a *Run* above, then click its **verdict** to jump to the time in which it ran; while it still "
    "runs, take *Last 30 minutes*. No run in the list: start one with `loadstone run --influx-url URL`, and look at "
    "*Generator and telemetry health*. Drag over a chart to zoom; every chart shares its crosshair. "
    "Percentiles exist at the chosen *Resolution* and are never averaged."
)


def _verdict() -> Any:
    return panels.stat(
        "Verdict",
        "What the run came to: pass, fail, or inconclusive when the measurement itself was not good enough.",
        "string",
        table(
            'SELECT "verdict" AS "verdict", "run" AS "run", "start_ms" - 10000 AS "from_ms", '
            f'"end_ms" + 5000 AS "to_ms" FROM "run_summary" WHERE {RUN} AND {EVER}'
        ),
        field="verdict",
        mappings=VERDICT_WORDS,
        empty="none yet: the run goes on",
        columns={"verdict": TO_RUN},
        background=True,
    )


def _figure(title: str, why: str, unit: str, select: str, **more: Any) -> Any:
    query = series(f'SELECT {select} FROM "rollup_all" WHERE {RUN} AND {SECONDS} AND {SHOWN}', title)
    return panels.stat(title, why, unit, query, **more)


def _whole_run_p95() -> Any:
    return panels.stat(
        "p95 of the run",
        "95 % of all requests of the whole run took at most this long; known when the run has ended.",
        LATENCY,
        series(f'SELECT "p95" FROM "rollup_all" WHERE {RUN} AND "res" = \'run\' AND {EVER}', "p95"),
    )


def _figures() -> Row:
    return Row(
        4,
        (
            (5, _verdict()),
            (
                2,
                _figure(
                    "Active users", "Users that are active at the end of the shown time.", "short", 'last("users")'
                ),
            ),
            (3, _figure("Requests/s", "Requests that ended in a second, on average.", "reqps", 'mean("n")')),
            (2, _figure("Peak", "Most requests that ended in one second.", "reqps", 'max("n")')),
            (
                3,
                _figure(
                    "Failed",
                    "Share of the requests that failed.",
                    "percent",
                    '100 * sum("err") / sum("n") AS "failed"',
                    steps=FAILED_STEPS,
                ),
            ),
            (3, _figure("Mean", "Mean response time.", LATENCY, 'sum("rt_sum") / sum("n") AS "mean"')),
            (3, _whole_run_p95()),
            (3, _figure("Requests", "How many requests ended.", "short", 'sum("n")')),
        ),
    )


def _errors() -> Any:
    return panels.table(
        "Errors",
        "Failed requests by name and kind, with the HTTP status and an example of the message.",
        table(
            'SELECT sum("n") AS "failures", last("status") AS "status", last("sample") AS "message" FROM "errors" '
            f'WHERE {RUN} AND {NAMES} AND {SHOWN} GROUP BY "method", "name", "kind"'
        ),
        sort=("failures", True),
    )


def _errors_over_time() -> Any:
    return panels.timeseries(
        "Errors by kind",
        "Failed requests of each kind.",
        "short",
        series(
            f'SELECT sum("n") FROM "errors" WHERE {RUN} AND {NAMES} AND {SHOWN} '
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
        "What had to hold in the window, what was measured, and why it did not hold.",
        table(
            'SELECT "text" AS "objective", "value" AS "measured", "limit" AS "limit", "ok" AS "holds", '
            f'"reason" AS "why" FROM "objective" WHERE {RUN} AND {EVER}'
        ),
        columns={
            "holds": {
                "mappings": [each.to_json() for each in ok],
                "custom.cellOptions": {"type": "color-background"},
            }
        },
    )


def _events() -> Any:
    return panels.table(
        "Events",
        "Everything that happened to the run, in order.",
        table(f'SELECT "kind" AS "event", "text" AS "about" FROM "run_event" WHERE {RUN} AND {EVER}'),
        hidden=(),
        sort=("Time", False),
    )


RUN_BOARD: Final = Board(
    uid="loadstone-run",
    description="One load test: users, requests, failures, latency, and what the containers do at the same time.",
    variables=(
        variables.THIS_RUN,
        variables.NAME,
        variables.SERVICE,
        variables.RESOLUTION,
        variables.OBJECTIVE,
    ),
    annotations=ANNOTATIONS,
    rows=(
        _figures(),
        Row(8, ((24, load()),)),
        Row(5, ((24, failures()),)),
        Row(9, ((24, latency()),)),
        Row(8, ((24, cpu()),)),
        Row(5, ((24, throttling()),)),
        Row(8, ((24, memory()),)),
        Row(9, ((24, endpoints()),)),
        Row(8, ((14, _errors()), (10, _errors_over_time()))),
        Row(7, ((12, _objectives()), (12, _events()))),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
