"""Compare: runs overlaid from their beginnings, and their differences to a baseline."""

from __future__ import annotations

from typing import Any, Final

from boards import controls, panels
from boards.board import ALIGNED_RANGE, Board, Row
from boards.influx import LAST_YEAR, TIME_RANGE, series, table
from boards.shared import EITHER_MODEL, LATENCY, NO_RATE, RUN_ID, VERDICT_WORDS, help_text

__all__ = ["COMPARE_BOARD"]

_HELP: Final = (
    "Choose a *Baseline* and two to five *Runs*. All runs are shifted to start at 2100-01-01 00:00 UTC, so the time "
    "axis shows the time since the start of each run. **Empty?** Reset the time range to 2100-01-01 00:00:00 to "
    "00:30:00 UTC. Differences appear when the baseline has ended."
)
_WORSE: Final = 5
_CHOSEN: Final = '"run" =~ /^(${baseline:regex}|${runs:regex})$/'
_PER_SECOND: Final = "/ 10"
"""``rollup_aligned`` has time buckets of ten seconds."""


def _overlay(title: str, description: str, unit: str, select: str, **more: Any) -> Any:
    query = f'SELECT {select} FROM "rollup_aligned" WHERE {_CHOSEN} AND {TIME_RANGE} GROUP BY "run"'
    return panels.timeseries(title, description, unit, series(query, "$tag_run"), **more)


def _percent(field: str, base: str, title: str) -> str:
    return f'("{field}" / 0${{base_{base}:raw}} - 1) * 100 AS "{title}"'


_LESS: Final = ("mean, less is better", "p95, less is better", "p99, less is better")
_CPU: Final = "CPU, less is better"
_MORE: Final = "requests/s, more is better"
_MEMORY: Final = "memory, less is better"
_FAILED: Final = "failed, points, less is better"


def _differences() -> Any:
    mean, p95, p99 = _LESS
    load = (
        _percent("rps", "rps", _MORE),
        f'"failures_pct" - 0${{base_failures:raw}} AS "{_FAILED}"',
        _percent("mean_ms", "mean", mean),
        _percent("p95_ms", "p95", p95),
        _percent("p99_ms", "p99", p99),
    )
    usage = (_percent("target_cpu_cores", "cpu", _CPU), _percent("target_mem_bytes", "memory", _MEMORY))
    return panels.table(
        "Difference to the baseline",
        "Difference of each run from the baseline, in percent; for failed requests, in percentage points.",
        _compared(load, '"rps" * 0${base_rps:raw}', "A"),
        _compared(usage, '"target_cpu_cores" * 0${base_cpu:raw}', "B"),
        columns={
            _MORE: _colored(panels.BAD, panels.GOOD),
            **{name: _colored(panels.GOOD, panels.BAD) for name in (*_LESS, _CPU, _MEMORY)},
            _FAILED: {**_colored(panels.GOOD, panels.BAD, 0.1), "decimals": 3},
        },
        unit="percent",
        merged=True,
        number_px=120,
    )


def _compared(columns: tuple[str, ...], known: str, ref: str) -> Any:
    """Select the runs with values for themselves and for the baseline: InfluxQL returns 0 for x/0."""
    text = (
        f'SELECT {", ".join(columns)} FROM "run_summary" WHERE {_CHOSEN} AND {LAST_YEAR} AND {known} > 0 GROUP BY "run"'
    )
    return table(text, ref)


def _colored(low: str, high: str, limit: float = _WORSE) -> dict[str, Any]:
    steps = [(None, low), (-limit, "text"), (limit, high)]
    return {
        "decimals": 1,
        "custom.cellOptions": {"type": "color-text"},
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]},
    }


def _figures() -> Any:
    return panels.table(
        "Figures",
        "Verdict, load, latency and usage of each selected run; the service time is that of runs with a rate.",
        table(
            'SELECT "verdict" AS "verdict", "users_peak" AS "users", "rps" AS "requests/s", '
            '"failures_pct" AS "failed", "mean_ms" AS "mean", "p50_ms" AS "p50", "p95_ms" AS "p95", "p99_ms" AS "p99", '
            '"service_p95_ms" AS "service p95", '
            '"target_cpu_cores" AS "CPU", "target_mem_bytes" AS "memory", '
            '"start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms" '
            f'FROM "run_summary" WHERE {_CHOSEN} AND {LAST_YEAR} GROUP BY "run"'
        ),
        columns={
            "run": RUN_ID,
            "verdict": {"mappings": [each.to_json() for each in VERDICT_WORDS]},
            "requests/s": {"decimals": 1},
            "failed": {"unit": "percent"},
            "memory": {"unit": "bytes"},
            **{name: {"unit": LATENCY, "decimals": 1} for name in ("mean", "p50", "p95", "p99", "service p95")},
        },
        hidden=("Time", "from_ms", "to_ms"),
    )


COMPARE_BOARD: Final = Board(
    uid="loadstone-compare",
    description="Runs overlaid from t = 0, and their differences to a baseline.",
    variables=(controls.BASELINE, controls.RUNS, *controls.BASELINE_FIGURES),
    range=ALIGNED_RANGE,
    refresh="",
    rows=(
        Row(3, ((24, help_text(_HELP)),)),
        Row(6, ((24, _differences()),)),
        Row(6, ((24, _figures()),)),
        Row(
            8,
            (
                (12, _overlay("Users", "Active users in each run.", "short", '"users"')),
                (
                    12,
                    _overlay(
                        "Requests per second",
                        "Requests completed per second in each run.",
                        "reqps",
                        f'"n" {_PER_SECOND} AS "requests/s"',
                    ),
                ),
            ),
        ),
        Row(
            9,
            (
                (8, _overlay("Mean", "Mean response time in each run.", LATENCY, '"rt_sum" / "timed" AS "mean"')),
                (
                    8,
                    _overlay(
                        "p95", f"95th percentile of the response time in each run. {EITHER_MODEL}", LATENCY, '"p95"'
                    ),
                ),
                (
                    8,
                    _overlay(
                        "Service p95",
                        "95th percentile of the service time, from sent to answered, in each run. "
                        "Runs without a rate have no line.",
                        LATENCY,
                        '"service_p95"',
                        empty=NO_RATE,
                    ),
                ),
            ),
        ),
        Row(
            8,
            (
                (
                    8,
                    _overlay(
                        "Failed",
                        "Percentage of failed requests in each run.",
                        "percent",
                        '100 * "err" / "n" AS "failed"',
                    ),
                ),
                (
                    8,
                    _overlay(
                        "CPU", "CPU usage of the target in each run.", "short", '"target_cpu_cores"', axis="cores"
                    ),
                ),
                (8, _overlay("Memory", "Memory usage of the target in each run.", "bytes", '"target_mem_bytes"')),
            ),
        ),
    ),
)
