"""Endpoint: how the requests of one name, or of some, are distributed, and which were slow or failed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from boards import panels, variables
from boards.annotations import ANNOTATIONS
from boards.board import Board, Row
from boards.influx import LAST_MINUTE, NAMES, PER_SPAN, RES, RUN, SECONDS, SHOWN, series, table
from boards.shared import LATENCY, endpoints, help_text, objective_line

__all__ = ["BUCKETS_MS", "ENDPOINT_BOARD"]

BUCKETS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_HELP: Final = (
    "Choose one or more names under *Request*, or click a name on the board *Run*. **Empty?** Open the board *Run*, "
    "click the verdict to jump to the time of the run, and come back. Panels that say *last minute* read single "
    "requests of the last 60 s of the shown range, never more: drag over a chart to bring a moment to its end."
)
_BY_NAME: Final = f'FROM "rollup" WHERE {RUN} AND {RES} AND {NAMES} AND {SHOWN} GROUP BY "method", "name"'
_RAW: Final = f'FROM "request" WHERE {RUN} AND {NAMES} AND {LAST_MINUTE}'


def _heatmap() -> Any:
    columns = [f'sum("le_{BUCKETS_MS[0]}") AS "{BUCKETS_MS[0]}"']
    columns += [f'sum("le_{high}") - sum("le_{low}") AS "{high}"' for low, high in pairwise(BUCKETS_MS)]
    columns.append(f'sum("n") - sum("le_{BUCKETS_MS[-1]}") AS "+Inf"')
    return panels.heatmap(
        "Latency heatmap",
        "How many requests took how long, in the buckets that are stored.",
        LATENCY,
        series(
            f'SELECT {", ".join(columns)} FROM "rollup" WHERE {RUN} AND {SECONDS} AND {NAMES} AND {SHOWN} '
            "GROUP BY time(${res:raw}s) fill(none)"
        ),
    )


def _percentiles() -> Any:
    return panels.timeseries(
        "Percentiles by name",
        "Percentiles of the response time of each name, with the objective.",
        LATENCY,
        series(f'SELECT "p50", "p95", "p99" {_BY_NAME}', "$tag_method $tag_name $col"),
        objective_line("B"),
    )


def _rates() -> Any:
    return panels.timeseries(
        "Requests per second by name",
        "How many requests of each name end each second.",
        "reqps",
        series(f'SELECT "n" {PER_SPAN} AS "requests/s" {_BY_NAME}', "$tag_method $tag_name"),
    )


def _failed_rates() -> Any:
    return panels.timeseries(
        "Failed requests by name",
        "Share of the requests of each name that failed.",
        "percent",
        series(f'SELECT 100 * "err" / "n" AS "failed" {_BY_NAME}', "$tag_method $tag_name"),
    )


def _ok_against_failed() -> Any:
    return panels.timeseries(
        "Latency of good and failed requests, last minute",
        "Mean response time of requests that succeeded (t) and that failed (f), from single requests.",
        LATENCY,
        series(f'SELECT mean("rt_ms") {_RAW} GROUP BY time(1s), "ok" fill(none)', "ok = $tag_ok"),
    )


def _first_byte() -> Any:
    return panels.timeseries(
        "Time to first byte, last minute",
        "Mean time to the first byte by name, where the client measures it, from single requests.",
        LATENCY,
        series(
            f'SELECT mean("ttfb_ms") {_RAW} GROUP BY time(1s), "method", "name" fill(none)', "$tag_method $tag_name"
        ),
    )


def _slowest() -> Any:
    return panels.table(
        "Slowest requests",
        "The slowest of the ten slowest requests of each ten seconds.",
        table(
            'SELECT top("rt_ms", 20) AS "took", "method", "name", "worker", "status", "error" '
            f'FROM "slow" WHERE {RUN} AND {NAMES} AND {SHOWN}'
        ),
        columns={"took": {"unit": LATENCY, "decimals": 1}},
        hidden=(),
        sort=("took", True),
    )


def _failed() -> Any:
    return panels.table(
        "Failed requests, last minute",
        "The newest failed requests, one by one.",
        table(
            'SELECT "rt_ms" AS "took", "method", "name", "worker", "status", "error" '
            f"{_RAW} AND \"ok\" = 'f' ORDER BY time DESC LIMIT 100"
        ),
        columns={"took": {"unit": LATENCY, "decimals": 1}},
        hidden=(),
    )


ENDPOINT_BOARD: Final = Board(
    uid="loadstone-endpoint",
    description="Requests of one name or some: how long they take, which are slow, and which fail.",
    variables=(variables.THIS_RUN, variables.NAME, variables.RESOLUTION, variables.OBJECTIVE),
    annotations=ANNOTATIONS[:3],
    rows=(
        Row(10, ((24, _heatmap()),)),
        Row(9, ((24, _percentiles()),)),
        Row(7, ((12, _rates()), (12, _failed_rates()))),
        Row(7, ((24, endpoints()),)),
        Row(8, ((12, _ok_against_failed()), (12, _first_byte()))),
        Row(9, ((12, _slowest()), (12, _failed()))),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
