"""Endpoint: the latency distribution of requests by name, and the slow and failed ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from boards import controls, panels
from boards.board import Board, Row
from boards.influx import LAST_MINUTE, NAMES, PER_SECOND, RES, RUN, SECONDS, TIME_RANGE, series, table
from boards.shared import DOTTED, EITHER_MODEL, LATENCY, OBJECTIVE, endpoints, help_text, objective_line

__all__ = ["BUCKETS_MS", "ENDPOINT_BOARD"]

BUCKETS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_HELP: Final = (
    "Choose one or more names under *Request*, or click a name on the board *Run*. **Empty?** Open the board *Run*, "
    "click the verdict to select the time range of the run, and come back. Panels titled *last minute* show individual "
    "requests of the last 60 s of the selected time range: to inspect a moment, select a range that ends there."
)
_BY_NAME: Final = f'FROM "rollup" WHERE {RUN} AND {RES} AND {NAMES} AND {TIME_RANGE} GROUP BY "method", "name"'
_RAW: Final = f'FROM "request" WHERE {RUN} AND {NAMES} AND {LAST_MINUTE}'


def _heatmap() -> Any:
    columns = [f'sum("le_{BUCKETS_MS[0]}") AS "{BUCKETS_MS[0]}"']
    columns += [f'sum("le_{high}") - sum("le_{low}") AS "{high}"' for low, high in pairwise(BUCKETS_MS)]
    columns.append(f'sum("n") - sum("le_{BUCKETS_MS[-1]}") AS "+Inf"')
    return panels.heatmap(
        "Latency heatmap",
        "Number of requests per latency bucket over time.",
        LATENCY,
        series(
            f'SELECT {", ".join(columns)} FROM "rollup" WHERE {RUN} AND {SECONDS} AND {NAMES} AND {TIME_RANGE} '
            "GROUP BY time(${res:raw}s) fill(none)"
        ),
    )


def _percentiles() -> Any:
    return panels.timeseries(
        "Percentiles by name",
        "Percentiles of the response time by request name, and the objective; dotted, for runs with a rate, p95 of the "
        f"service time. {EITHER_MODEL}",
        LATENCY,
        series(f'SELECT "p50", "p95", "p99" {_BY_NAME}', "$tag_method $tag_name $col"),
        objective_line("B"),
        series(f'SELECT "service_p95" AS "service p95" {_BY_NAME}', "$tag_method $tag_name $col", "C"),
        columns={"/ service p95$/": DOTTED, "objective": OBJECTIVE},
    )


def _rates() -> Any:
    return panels.timeseries(
        "Requests per second by name",
        "Requests completed per second by request name.",
        "reqps",
        series(f'SELECT "n" {PER_SECOND} AS "requests/s" {_BY_NAME}', "$tag_method $tag_name"),
    )


def _failed_rates() -> Any:
    return panels.timeseries(
        "Failed requests by name",
        "Percentage of failed requests by request name.",
        "percent",
        series(f'SELECT 100 * "err" / "n" AS "failed" {_BY_NAME}', "$tag_method $tag_name"),
    )


def _successful_and_failed() -> Any:
    return panels.timeseries(
        "Latency of successful and failed requests, last minute",
        "Mean response time of successful and failed requests, computed from individual requests.",
        LATENCY,
        series(f'SELECT mean("rt_ms") {_RAW} GROUP BY time(1s), "ok" fill(none)', "ok = $tag_ok"),
        columns={"ok = t": {"displayName": "successful"}, "ok = f": {"displayName": "failed"}},
    )


def _first_byte() -> Any:
    return panels.timeseries(
        "Time to first byte, last minute",
        "Mean time to first byte by request name, computed from individual requests; only some clients measure it.",
        LATENCY,
        series(
            f'SELECT mean("ttfb_ms") {_RAW} GROUP BY time(1s), "method", "name" fill(none)', "$tag_method $tag_name"
        ),
    )


_ONE_REQUEST: Final[dict[str, panels.Column]] = {
    "duration": {"unit": LATENCY, "decimals": 1, "custom.width": 105},
    "method": {"custom.width": 90},
    "worker": {"custom.width": 90},
}


def _slowest() -> Any:
    return panels.table(
        "Slowest requests",
        "The 20 slowest requests, taken from the ten slowest of every ten seconds.",
        table(
            'SELECT top("rt_ms", 20) AS "duration", "method", "name", "worker", "status", "error" '
            f'FROM "slow" WHERE {RUN} AND {NAMES} AND {TIME_RANGE}'
        ),
        columns=_ONE_REQUEST,
        hidden=(),
        sort=("duration", True),
    )


def _failed() -> Any:
    return panels.table(
        "Failed requests, last minute",
        "The latest failed requests, one per row.",
        table(
            'SELECT "rt_ms" AS "duration", "method", "name", "worker", "status", "error" '
            f"{_RAW} AND \"ok\" = 'f' ORDER BY time DESC LIMIT 100"
        ),
        columns=_ONE_REQUEST,
        hidden=(),
    )


ENDPOINT_BOARD: Final = Board(
    uid="loadstone-endpoint",
    description="Requests by name: latency distribution, slowest requests and failures.",
    variables=(controls.THIS_RUN, controls.NAME, controls.RESOLUTION, controls.OBJECTIVE),
    annotations=controls.ANNOTATIONS[:3],
    rows=(
        Row(10, ((24, _heatmap()),)),
        Row(9, ((24, _percentiles()),)),
        Row(7, ((12, _rates()), (12, _failed_rates()))),
        Row(7, ((24, endpoints()),)),
        Row(8, ((12, _successful_and_failed()), (12, _first_byte()))),
        Row(9, ((24, _slowest()),)),
        Row(9, ((24, _failed()),)),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
