"""Containers and capacity: what a request and a user cost, what gave way first, and which limits would do."""

from __future__ import annotations

from typing import Any, Final

from boards import panels, variables
from boards.annotations import ANNOTATIONS
from boards.board import Board, Row
from boards.influx import EVER, PER_SPAN, RES, RUN, SERVICES, SHOWN, series, table
from boards.shared import LATENCY, TO_RUN, VERDICT_WORDS, containers, cpu, help_text, memory, throttling

__all__ = ["CAPACITY_BOARD"]

_HELP: Final = (
    "What the load costs. The knee is where latency rises while requests per second do not. **Empty?** Choose a *Run*, "
    "open the board *Run* and click its verdict for the time range. No containers at all: name the target's processes "
    "with `--target-pid`, or let the stack sample its containers. Shares of limits need limits."
)
_SATURATED: Final = 90
_MIB: Final = 1048576
_ALL: Final = f'FROM "rollup_all" WHERE {RUN} AND {RES} AND {SHOWN}'


def _per_core() -> Any:
    # InfluxQL makes 0 of a division by nothing.
    return panels.timeseries(
        "Requests per second and CPU core",
        "Requests that end each second for each core that the target uses.",
        "reqps",
        series(
            f'SELECT "n" {PER_SPAN} / "target_cpu_cores" AS "requests/s per core" {_ALL} AND "target_cpu_cores" > 0'
        ),
    )


def _per_user() -> Any:
    return panels.timeseries(
        "Memory per user",
        "Memory of the target for each active user.",
        "mbytes",
        series(
            f'SELECT "target_mem_bytes" / {_MIB} / "users" AS "MiB per user" {_ALL} '
            'AND "target_mem_bytes" > 0 AND "users" > 0'
        ),
    )


def _knee(title: str, why: str, x: str, select: str, x_unit: str) -> Any:
    query = table(f'SELECT {select} AS "{x}", "p95" AS "p95" {_ALL}')
    return panels.xychart(title, why, LATENCY, query, x=x, x_unit=x_unit, y="p95")


def _first(title: str, why: str, field: str) -> Any:
    return panels.table(
        title,
        why,
        table(
            f'SELECT first("{field}") AS "share of the limit" FROM "container" WHERE {RUN} AND {SERVICES} AND {SHOWN} '
            f'AND "{field}" >= {_SATURATED} GROUP BY "service", "container"'
        ),
        unit="percent",
        hidden=(),
        sort=("Time", False),
    )


def _network(title: str, why: str, field: str) -> Any:
    return panels.timeseries(
        title,
        why,
        "Bps",
        series(
            f'SELECT mean("{field}") FROM "container" WHERE {RUN} AND {SERVICES} AND {SHOWN} '
            'GROUP BY time($__interval), "service", "container" fill(none)',
            "$tag_service $tag_container",
        ),
    )


def _limits() -> Any:
    return panels.table(
        "Limits and outcomes of all runs",
        "Which limits the target had in each run of the last year, and what came of it.",
        table(
            'SELECT "target_cpu_limit" AS "CPU limit", "target_mem_limit" AS "memory limit", "users_peak" AS "users", '
            '"rps" AS "requests/s", "p95_ms" AS "p95", "failures_pct" AS "failed", "target_cpu_cores" AS "CPU", '
            '"target_mem_bytes" AS "memory", "rps" / "target_cpu_cores" AS "requests/s per core", '
            '"target_oom" AS "out of memory", "verdict" AS "verdict", '
            '"start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms" '
            f'FROM "run_summary" WHERE {EVER} GROUP BY "run"'
        ),
        columns={
            "run": TO_RUN,
            "memory limit": {"unit": "bytes"},
            "memory": {"unit": "bytes"},
            "p95": {"unit": LATENCY, "decimals": 1},
            "failed": {"unit": "percent"},
            "verdict": {"mappings": [each.to_json() for each in VERDICT_WORDS]},
            **{name: {"decimals": 2} for name in ("CPU limit", "CPU", "requests/s", "requests/s per core")},
        },
        hidden=("from_ms", "to_ms"),
        sort=("Time", True),
    )


CAPACITY_BOARD: Final = Board(
    uid="loadstone-capacity",
    description="What containers use against their limits, what a request costs, and where the knee is.",
    variables=(variables.THIS_RUN, variables.SERVICE, variables.RESOLUTION),
    annotations=ANNOTATIONS,
    rows=(
        Row(7, ((12, _per_core()), (12, _per_user()))),
        Row(
            9,
            (
                (
                    12,
                    _knee(
                        "Latency against requests per second",
                        "Each point is one span of time: where p95 rises while the rate does not is the knee.",
                        "requests/s",
                        f'"n" {PER_SPAN}',
                        "reqps",
                    ),
                ),
                (
                    12,
                    _knee(
                        "Latency against users",
                        "Each point is one span of time: how p95 grows with the number of users.",
                        "users",
                        '"users"',
                        "short",
                    ),
                ),
            ),
        ),
        Row(
            6,
            (
                (
                    12,
                    _first(
                        "First at its CPU limit",
                        "When each container first used 90 % of its CPU limit; the first is on top.",
                        "cpu_pct",
                    ),
                ),
                (
                    12,
                    _first(
                        "First at its memory limit",
                        "When each container first used 90 % of its memory limit; the first is on top.",
                        "mem_pct",
                    ),
                ),
            ),
        ),
        Row(7, ((24, containers()),)),
        Row(8, ((24, cpu()),)),
        Row(6, ((24, throttling()),)),
        Row(8, ((24, memory()),)),
        Row(
            7,
            (
                (12, _network("Network received", "What each container receives.", "rx_bps")),
                (12, _network("Network sent", "What each container sends.", "tx_bps")),
            ),
        ),
        Row(9, ((24, _limits()),)),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
