"""Capacity study: the answer of `loadstone capacity`, every trial, and a map of what holds."""

from __future__ import annotations

from typing import Any, Final

from boards import controls, panels
from boards.board import Board, Row
from boards.influx import LAST_YEAR, STUDY, table
from boards.shared import CLOSED_MODEL, LATENCY, RUN_ID, TO_RUN, help_text

__all__ = ["STUDY_BOARD"]

_HELP: Final = (
    "The trials of one study of `loadstone capacity`; choose it at *Study*. The selected time range has no effect. "
    "**Click a run** to open it in its own time range. **Empty?** A study is here if it was started with "
    "`--influx-url`, or has its answer in the stack; `loadstone influx study STUDY` writes any other. Maps and prices "
    "exist only where limits were searched. What one run uses over time is on the board *Containers and capacity*."
)
_TRIALS: Final = f'FROM "capacity_trial" WHERE {STUDY} AND {LAST_YEAR}'
_RUN: Final = '"run" AS "run", "start_ms" - 10000 AS "from_ms", "end_ms" + 5000 AS "to_ms"'
_OUTCOMES: Final = {"holds": panels.GOOD, "does not hold": panels.BAD, "invalid": panels.WARNING}
_POINT_SIZE: Final = 12
_MIB: Final = 1048576


def _answer() -> Any:
    proved = {"true": {"text": "proved", "color": panels.GOOD}, "false": {"text": "open", "color": panels.WARNING}}
    return panels.table(
        "Question and answer",
        "What the study asks, its answer, how sure that is, and whether there is nothing left to try.",
        table(
            'SELECT "question" AS "question", "answer" AS "answer", "confidence" AS "how sure", "proved" AS "proved", '
            f'"trials" AS "trials" FROM "capacity_study" WHERE {STUDY} AND {LAST_YEAR}'
        ),
        columns={
            "proved": {
                "custom.width": 95,
                "custom.cellOptions": {"type": "color-background"},
                "mappings": [{"type": "value", "options": proved}],
            },
            "trials": {"custom.width": 80},
        },
    )


def _outcome() -> panels.Column:
    return {
        "custom.cellOptions": {"type": "color-background"},
        "custom.width": 120,
        "mappings": [each.to_json() for each in panels.words(_OUTCOMES)],
        **TO_RUN,
    }


def _trials() -> Any:
    return panels.table(
        "Trials",
        f"Every trial in order: limits of one replica, load, and results in the window. {CLOSED_MODEL}",
        table(
            'SELECT "number" AS "trial", "outcome" AS "outcome", "cpu_limit" AS "CPU limit", '
            '"mem_limit" AS "memory limit", "replicas" AS "replicas", "users" AS "users", '
            '"rate" AS "arrivals/s", "price" AS "price", "rps" AS "requests/s", "failures_pct" AS "failed", '
            '"mean_ms" AS "mean", "p95_ms" AS "p95", '
            f'"p99_ms" AS "p99", "max_ms" AS "longest", {_RUN} {_TRIALS}'
        ),
        columns={
            "run": RUN_ID,
            "outcome": _outcome(),
            "requests/s": {"unit": "reqps", "decimals": 1, "custom.width": 84},
            **{
                name: {"unit": LATENCY, "decimals": 1, "custom.width": 86} for name in ("mean", "p95", "p99", "longest")
            },
            "failed": {"unit": "percent", "decimals": 1, "custom.width": 62},
            **{name: {"custom.width": 62} for name in ("trial", "users")},
            "memory limit": {"unit": "bytes"},
            "CPU limit": {"decimals": 2},
            "price": {"decimals": 3, "custom.width": 62},
        },
        hidden=("Time", "from_ms", "to_ms"),
        sort=("trial", False),
        number_px=74,
    )


def _used() -> Any:
    return panels.table(
        "What the trials used",
        "What one replica used in each trial, what limited the target, and why a trial does not hold or is invalid.",
        table(
            'SELECT "number" AS "trial", "outcome" AS "outcome", "cpu_cores" AS "CPU", "peak_mem_bytes" AS "memory", '
            f'"throttled_pct" AS "throttled", "bottleneck" AS "bottleneck", "remark" AS "remark", {_RUN} {_TRIALS}'
        ),
        columns={
            "run": RUN_ID,
            "outcome": _outcome(),
            "bottleneck": {"custom.width": 160},
            "throttled": {"unit": "percent", "decimals": 1},
            "memory": {"unit": "bytes"},
            "CPU": {"decimals": 2},
        },
        hidden=("Time", "from_ms", "to_ms"),
        sort=("trial", False),
    )


def _by_outcome(title: str, description: str, unit: str, x: tuple[str, str, str], y: str, only: str = "") -> Any:
    """Plot a value against another one; ``x`` is a title, its unit and what to select, and each outcome has a color."""
    name, x_unit, select = x
    queries = [
        table(f'SELECT {select} AS "{name}", {y} AS "{outcome}" {_TRIALS} AND "outcome" = \'{outcome}\'{only}', ref)
        for ref, outcome in zip("ABC", _OUTCOMES, strict=True)
    ]
    colors = {
        outcome: {"color": {"mode": "fixed", "fixedColor": color}, "custom.pointSize": {"fixed": _POINT_SIZE}}
        for outcome, color in _OUTCOMES.items()
    }
    return panels.xychart(title, description, unit, *queries, x=name, x_unit=x_unit, y=tuple(_OUTCOMES), columns=colors)


def _map() -> Any:
    one = _by_outcome(
        "CPU and memory, replicas: ${replicas}",
        "Each point is one trial with this number of replicas: its limits of CPU and memory, and whether it held.",
        "mbytes",
        ("CPU limit", "short", '"cpu_limit"'),
        f'"mem_limit" / {_MIB}',
        ' AND "replicas" = 0${replicas:raw}',
    )
    return one.repeat("replicas").repeat_direction("h").max_per_row(3)


STUDY_BOARD: Final = Board(
    uid="loadstone-study",
    description="One study of `loadstone capacity`: its answer, every trial, and which limits hold at what price.",
    variables=(controls.THIS_STUDY, controls.REPLICAS),
    range=("now-7d", "now"),
    refresh="30s",
    has_picture=False,
    rows=(
        Row(8, ((24, _answer()),)),
        Row(12, ((24, _trials()),)),
        Row(12, ((24, _used()),)),
        Row(9, ((24, _map()),)),
        Row(
            9,
            (
                (
                    8,
                    _by_outcome(
                        "Price of the trials in order",
                        "What an hour of all replicas of each trial costs: how the search came down to its answer.",
                        "short",
                        ("trial", "short", '"number"'),
                        '"price"',
                    ),
                ),
                (
                    8,
                    _by_outcome(
                        "p95 against CPU",
                        f"Each point is one trial: p95 by the CPU limit of all replicas together. {CLOSED_MODEL}",
                        LATENCY,
                        ("CPU limit of all replicas", "short", '"cpu_limit" * "replicas"'),
                        '"p95_ms"',
                    ),
                ),
                (
                    8,
                    _by_outcome(
                        "p95 against users",
                        f"Each point is one trial: p95 by number of users. {CLOSED_MODEL}",
                        LATENCY,
                        ("users", "short", '"users"'),
                        '"p95_ms"',
                    ),
                ),
            ),
        ),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
