"""Runs: all runs in one table, and trends across runs."""

from __future__ import annotations

from typing import Any, Final

from boards import panels
from boards.board import Board, Row
from boards.influx import TIME_RANGE, series, table
from boards.shared import EITHER_MODEL, FAILED_STEPS, LATENCY, RUN_ID, TO_RUN, VERDICT_WORDS, help_text

__all__ = ["RUNS_BOARD"]

_HELP: Final = (
    "All finished runs in the selected time range. **Click a run** to open it in its own time range. "
    "**Empty?** Widen the time range. Runs in progress are on the board *Run*. "
    "`loadstone influx backfill RUN` writes an archived run to InfluxDB."
)
_SHOWN: Final = f'FROM "run_summary" WHERE {TIME_RANGE}'


def _table() -> Any:
    colored = {
        "custom.cellOptions": {"type": "color-background"},
        "mappings": [each.to_json() for each in VERDICT_WORDS],
    }
    steps = [{"value": value, "color": color} for value, color in FAILED_STEPS]
    failed = {"unit": "percent", "custom.cellOptions": {"type": "color-text"}}
    return panels.table(
        "All runs",
        "One row per run: load, results, verdict, and the limits of the target. Service times, and arrivals not sent, "
        "are those of runs with a rate.",
        table(
            'SELECT "verdict" AS "verdict", "users_peak" AS "users", "requests" AS "requests", "rps" AS "requests/s", '
            '"failures_pct" AS "failed", "mean_ms" AS "mean", "p95_ms" AS "p95", "service_p95_ms" AS "service p95", '
            '"arrivals_not_sent" AS "not sent", "target_cpu_limit" AS "CPU limit", '
            '"target_mem_limit" AS "memory limit", "duration_s" AS "duration", "host" AS "target", '
            f'"start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms" {_SHOWN} GROUP BY "run"'
        ),
        columns={
            "run": RUN_ID,
            "verdict": {**colored, **TO_RUN, "custom.width": 110},
            "failed": {**failed, "thresholds": {"mode": "absolute", "steps": steps}},
            "requests": {"unit": panels.COUNT},
            "requests/s": {"unit": "reqps", "decimals": 1, "custom.width": 84},
            "mean": {"unit": LATENCY, "decimals": 1},
            "p95": {"unit": LATENCY, "decimals": 1},
            "service p95": {"unit": LATENCY, "decimals": 1},
            "memory limit": {"unit": "bytes"},
            "duration": {"unit": "s"},
        },
        hidden=("Time", "from_ms", "to_ms"),
        sort=("run", True),
        number_px=72,
    )


def _trend(title: str, description: str, unit: str, *selects: str, axis: str = "") -> Any:
    queries = (series(f"SELECT {select} {_SHOWN}", ref=ref) for ref, select in zip("AB", selects, strict=False))
    return panels.timeseries(title, description, unit, *queries, points=True, axis=axis)


RUNS_BOARD: Final = Board(
    uid="loadstone-runs",
    description="All runs with load, results, limits and verdict, and trends across runs.",
    variables=(),
    range=("now-30d", "now"),
    refresh="1m",
    rows=(
        Row(
            4,
            (
                (
                    6,
                    panels.stat(
                        "Runs",
                        "Number of runs that ended in the selected time range.",
                        "short",
                        series(f'SELECT count("requests") AS "runs" {_SHOWN}'),
                    ),
                ),
                (18, help_text(_HELP)),
            ),
        ),
        Row(14, ((24, _table()),)),
        Row(
            8,
            (
                (
                    12,
                    _trend(
                        "Latency by run",
                        "Mean and percentiles of the response time in each run's window, and of runs with a rate p95 "
                        f"of the service time. {EITHER_MODEL}",
                        LATENCY,
                        '"mean_ms" AS "mean", "p50_ms" AS "p50", "p95_ms" AS "p95", "p99_ms" AS "p99"',
                        '"service_p95_ms" AS "service p95"',
                    ),
                ),
                (
                    12,
                    _trend(
                        "Requests per second by run",
                        "Request rate in each run's window, and its peak number of users.",
                        "short",
                        '"rps" AS "requests/s", "users_peak" AS "users"',
                    ),
                ),
            ),
        ),
        Row(
            8,
            (
                (
                    12,
                    _trend(
                        "Failed requests by run",
                        "Percentage of failed requests in each run's window.",
                        "percent",
                        '"failures_pct" AS "failed"',
                    ),
                ),
                (
                    12,
                    _trend(
                        "CPU of the target by run",
                        "Mean and peak CPU usage of the target in each run's window.",
                        "short",
                        '"target_cpu_cores" AS "mean", "target_cpu_cores_max" AS "highest"',
                        axis="cores",
                    ),
                ),
            ),
        ),
    ),
)
