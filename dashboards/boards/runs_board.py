"""Runs: all runs in one table, and how figures go from run to run."""

from __future__ import annotations

from typing import Any, Final

from boards import panels
from boards.board import Board, Row
from boards.influx import SHOWN, series, table
from boards.shared import FAILED_STEPS, LATENCY, TO_RUN, VERDICT_WORDS, help_text

__all__ = ["RUNS_BOARD"]

_HELP: Final = (
    "Every run whose end is stored, in the shown time. **Click a row** to open that run in its own time range. "
    "**Empty?** Widen the time range; runs that still go on are on the board *Run*; "
    "`loadstone influx backfill RUN` writes an archived run to InfluxDB."
)
_SHOWN: Final = f'FROM "run_summary" WHERE {SHOWN}'


def _table() -> Any:
    colored = {
        "custom.cellOptions": {"type": "color-background"},
        "mappings": [each.to_json() for each in VERDICT_WORDS],
    }
    steps = [{"value": value, "color": color} for value, color in FAILED_STEPS]
    failed = {"unit": "percent", "custom.cellOptions": {"type": "color-text"}}
    return panels.table(
        "All runs",
        "One row for each run: its load, what came of it, and the limits of the target.",
        table(
            'SELECT "verdict" AS "verdict", "users_peak" AS "users", "requests" AS "requests", "rps" AS "requests/s", '
            '"failures_pct" AS "failed", "mean_ms" AS "mean", "p95_ms" AS "p95", "target_cpu_limit" AS "CPU limit", '
            '"target_mem_limit" AS "memory limit", "duration_s" AS "took", "host" AS "target", '
            f'"start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms" {_SHOWN} GROUP BY "run"'
        ),
        columns={
            "run": TO_RUN,
            "verdict": {**colored, **TO_RUN},
            "failed": {**failed, "thresholds": {"mode": "absolute", "steps": steps}},
            "requests/s": {"unit": "reqps", "decimals": 1},
            "mean": {"unit": LATENCY, "decimals": 1},
            "p95": {"unit": LATENCY, "decimals": 1},
            "memory limit": {"unit": "bytes"},
            "took": {"unit": "s"},
        },
        hidden=("from_ms", "to_ms"),
        sort=("Time", True),
    )


def _trend(title: str, why: str, unit: str, select: str) -> Any:
    return panels.timeseries(title, why, unit, series(f"SELECT {select} {_SHOWN}"), points=True)


RUNS_BOARD: Final = Board(
    uid="loadstone-runs",
    description="All runs: load, outcome, limits and verdict, and how they change from run to run.",
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
                        "How many runs ended in the shown time.",
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
                        "Latency from run to run",
                        "Mean and percentiles of each run's window.",
                        LATENCY,
                        '"mean_ms" AS "mean", "p50_ms" AS "p50", "p95_ms" AS "p95", "p99_ms" AS "p99"',
                    ),
                ),
                (
                    12,
                    _trend(
                        "Requests per second from run to run",
                        "Rate of each run's window, and the most users at once.",
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
                        "Failed requests from run to run",
                        "Share of failed requests in each run's window.",
                        "percent",
                        '"failures_pct" AS "failed"',
                    ),
                ),
                (
                    12,
                    _trend(
                        "CPU of the target from run to run",
                        "Mean and highest CPU of the target in each run's window, in cores.",
                        "short",
                        '"target_cpu_cores" AS "mean", "target_cpu_cores_max" AS "highest"',
                    ),
                ),
            ),
        ),
    ),
)
