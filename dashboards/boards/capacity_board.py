"""Containers and capacity: the cost of requests and users, the first saturated resource, and limits that suffice."""

from __future__ import annotations

from typing import Any, Final

from boards import controls, panels
from boards.board import Board, Row
from boards.influx import LAST_YEAR, PER_SECOND, RES, RUN, SERVICES, TIME_RANGE, series, table
from boards.shared import EITHER_MODEL, LATENCY, RUN_ID, VERDICT_WORDS, containers, cpu, help_text, memory, throttling

__all__ = ["CAPACITY_BOARD"]

_HELP: Final = (
    "What the load costs in CPU and memory. The knee of a curve is where latency rises but requests per second no "
    "longer do. **Empty?** Choose a *Run*, open the board *Run* and click its verdict to select the time range. If no "
    "container appears, pass the target's processes with `--target-pid`, or run the stack, which samples its "
    "containers. Percentages of limits exist only for containers with limits."
)
_SATURATED_PCT: Final = 90
_MIB: Final = 1048576
_ALL: Final = f'FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}'


def _per_core() -> Any:
    # InfluxQL returns 0 for a division by zero, so such points are left out.
    return panels.timeseries(
        "Requests per second per CPU core",
        "Requests completed per second, divided by the CPU cores that the target uses.",
        "reqps",
        series(
            f'SELECT "n" {PER_SECOND} / "target_cpu_cores" AS "requests/s per core" {_ALL} AND "target_cpu_cores" > 0'
        ),
    )


def _per_user() -> Any:
    return panels.timeseries(
        "Memory per user",
        "Memory of the target divided by the number of active users.",
        "mbytes",
        series(
            f'SELECT "target_mem_bytes" / {_MIB} / "users" AS "MiB per user" {_ALL} '
            'AND "target_mem_bytes" > 0 AND "users" > 0'
        ),
    )


def _knee(title: str, description: str, x: str, select: str, x_unit: str) -> Any:
    query = table(f'SELECT {select} AS "{x}", "p95" AS "p95" {_ALL}')
    return panels.xychart(title, description, LATENCY, query, x=x, x_unit=x_unit, y=("p95",))


def _first_saturated(title: str, description: str, field: str) -> Any:
    return panels.table(
        title,
        description,
        table(
            f'SELECT first("{field}") AS "share of the limit" FROM "container" WHERE {RUN} AND {SERVICES} '
            f'AND {TIME_RANGE} AND "{field}" >= {_SATURATED_PCT} GROUP BY "service", "container"'
        ),
        unit="percent",
        empty=f"no container used {_SATURATED_PCT} % of such a limit in this time range",
        hidden=(),
        sort=("Time", False),
    )


def _network(title: str, description: str, field: str) -> Any:
    return panels.timeseries(
        title,
        description,
        "Bps",
        series(
            f'SELECT mean("{field}") FROM "container" WHERE {RUN} AND {SERVICES} AND {TIME_RANGE} '
            'GROUP BY time($__interval), "service", "container" fill(none)',
            "$tag_service $tag_container",
        ),
        plain_names=True,
    )


def _limits() -> Any:
    return panels.table(
        "Limits and outcomes of all runs",
        "Limits of the target and results of each run of the last year.",
        table(
            'SELECT "target_cpu_limit" AS "CPU limit", "target_mem_limit" AS "memory limit", "users_peak" AS "users", '
            '"rps" AS "requests/s", "p95_ms" AS "p95", "failures_pct" AS "failed", "target_cpu_cores" AS "CPU", '
            '"target_mem_bytes" AS "memory", "rps" / "target_cpu_cores" AS "requests/s per core", '
            '"target_oom" AS "out of memory", "verdict" AS "verdict", '
            '"start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms" '
            f'FROM "run_summary" WHERE {LAST_YEAR} GROUP BY "run"'
        ),
        columns={
            "run": RUN_ID,
            "memory limit": {"unit": "bytes"},
            "memory": {"unit": "bytes"},
            "p95": {"unit": LATENCY, "decimals": 1},
            "failed": {"unit": "percent"},
            "verdict": {"mappings": [each.to_json() for each in VERDICT_WORDS], "custom.width": 110},
            **{name: {"decimals": 2} for name in ("CPU limit", "CPU")},
            **{name: {"decimals": 2, "custom.width": 88} for name in ("requests/s", "requests/s per core")},
        },
        hidden=("from_ms", "to_ms"),
        sort=("Time", True),
        number_px=78,
    )


CAPACITY_BOARD: Final = Board(
    uid="loadstone-capacity",
    description="Container usage against limits, the cost of a request, and the knee of the latency curve.",
    variables=(controls.THIS_RUN, controls.SERVICE, controls.RESOLUTION),
    annotations=controls.ANNOTATIONS,
    rows=(
        Row(7, ((12, _per_core()), (12, _per_user()))),
        Row(
            9,
            (
                (
                    12,
                    _knee(
                        "Latency against requests per second",
                        "Each point is one time bucket. At the knee, p95 rises but requests per second no longer do. "
                        f"{EITHER_MODEL}",
                        "requests/s",
                        f'"n" {PER_SECOND}',
                        "reqps",
                    ),
                ),
                (
                    12,
                    _knee(
                        "Latency against users",
                        f"Each point is one time bucket: p95 by number of users. {EITHER_MODEL}",
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
                    _first_saturated(
                        "First to reach the CPU limit",
                        "When each container first used 90 % of its CPU limit, earliest first.",
                        "cpu_pct",
                    ),
                ),
                (
                    12,
                    _first_saturated(
                        "First to reach the memory limit",
                        "When each container first used 90 % of its memory limit, earliest first.",
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
                (12, _network("Network received", "Bytes that each container receives per second.", "rx_bps")),
                (12, _network("Network sent", "Bytes that each container sends per second.", "tx_bps")),
            ),
        ),
        Row(9, ((24, _limits()),)),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
