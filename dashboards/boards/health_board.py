"""Generator and telemetry health: whether the measurement itself can be trusted."""

from __future__ import annotations

from typing import Any, Final

from boards import panels, variables
from boards.annotations import ANNOTATIONS
from boards.board import Board, Row
from boards.influx import EVER, RES, RUN, SHOWN, series, table
from boards.shared import help_text

__all__ = ["HEALTH_BOARD"]

_HELP: Final = (
    "Whether to believe the other boards. A worker whose event loop runs late measures its own delay, not the "
    "target's: add workers or cores. **Empty?** Choose a *Run*, open the board *Run* and click its verdict for the "
    "time range. Dropped samples mean that the buffer in front of the stream was full."
)
_LAG_MS: Final = 10
"""From here on a verdict is inconclusive (docs/reference/objectives.md); tight objectives bring it down."""
_WORKERS: Final = f'FROM "worker" WHERE {RUN} AND {SHOWN}'


def _banner() -> Any:
    return panels.stat(
        "Was the generator the bottleneck?",
        "When the event loop of a worker runs 10 ms late or more, latencies of that moment are partly its own.",
        "string",
        series(f'SELECT max("loop_lag_ms") AS "lag" {_WORKERS}'),
        mappings=panels.ranges(
            (None, _LAG_MS, "no: the workers kept up", panels.GOOD),
            (_LAG_MS, None, "at times: see the lateness", panels.BAD),
        ),
        background=True,
    )


def _sum(title: str, why: str, field: str, unit: str = "short", **more: Any) -> Any:
    inner = f'SELECT last("{field}") AS "{field}" {_WORKERS} GROUP BY "worker"'
    return panels.stat(title, why, unit, series(f'SELECT sum("{field}") AS "{title}" FROM ({inner})'), **more)


def _missing() -> Any:
    return panels.stat(
        "Workers missing",
        "Workers at the beginning of the shown time, less those at its end.",
        "short",
        series(
            'SELECT first("workers") - last("workers") AS "missing" FROM "rollup_all" '
            f"WHERE {RUN} AND \"res\" = '1s' AND {SHOWN}"
        ),
        steps=((None, panels.GOOD), (1, panels.BAD)),
    )


def _largest(title: str, why: str, field: str, unit: str) -> Any:
    return panels.stat(title, why, unit, series(f'SELECT max("{field}") AS "{title}" {_WORKERS}'))


def _per_worker(title: str, why: str, unit: str, select: str, *, group: str = "") -> Any:
    return panels.timeseries(
        title, why, unit, series(f'SELECT {select} {_WORKERS} GROUP BY {group}"worker"', "worker $tag_worker")
    )


def _workers() -> Any:
    return panels.timeseries(
        "Workers",
        "How many workers are there.",
        "short",
        series(f'SELECT "workers" AS "workers" FROM "rollup_all" WHERE {RUN} AND {RES} AND {SHOWN}'),
    )


def _ledger() -> Any:
    return panels.table(
        "Ledger of the archive",
        "Samples that were produced, stored and dropped, and how many a killed worker may have taken with it.",
        table(
            'SELECT "produced" AS "produced", "stored" AS "stored", "dropped" AS "dropped", "unknown" AS "unknown", '
            f'"aborted" AS "aborted" FROM "run_summary" WHERE {RUN} AND {EVER}'
        ),
    )


def _delivered(title: str, why: str, field: str, during: str, unit: str = "short", **more: Any) -> Any:
    query = f'SELECT max("{field}") AS "{title}" FROM "delivery" WHERE {RUN} AND {during}'
    return panels.stat(title, why, unit, series(query), **more)


def _lost() -> Any:
    return panels.table(
        "Workers that joined, were lost or restarted",
        "What happened to workers and other parts of the platform.",
        table(
            f'SELECT "kind" AS "event", "text" AS "about" FROM "run_event" WHERE {RUN} AND {EVER} '
            'AND "kind" =~ /^(worker_joined|worker_lost|orphaned|restarted|crashed)$/'
        ),
        hidden=(),
        sort=("Time", False),
    )


HEALTH_BOARD: Final = Board(
    uid="loadstone-health",
    description="Whether the generator kept up, and whether every sample arrived.",
    variables=(variables.THIS_RUN, variables.RESOLUTION),
    annotations=ANNOTATIONS[:3],
    rows=(
        Row(
            4,
            (
                (6, _banner()),
                (3, _sum("Produced", "Samples that the workers recorded.", "produced")),
                (3, _sum("Stored", "Samples that the archive has.", "stored")),
                (
                    3,
                    _sum(
                        "Dropped",
                        "Samples that found no room in a worker's buffer.",
                        "dropped",
                        steps=((None, panels.GOOD), (1, panels.BAD)),
                    ),
                ),
                (3, _largest("Largest buffer", "Most samples that waited in one worker.", "buffered", "short")),
                (3, _largest("Longest lag", "Longest way of a batch from its worker into the stream.", "lag_s", "s")),
                (3, _missing()),
            ),
        ),
        Row(
            8,
            (
                (12, _per_worker("CPU of each worker", "Percent of one core.", "percent", '"cpu_pct"')),
                (
                    12,
                    _per_worker(
                        "Lateness of event loops",
                        "99 % of a worker's timers fired at most this late.",
                        "ms",
                        '"loop_lag_ms"',
                    ),
                ),
            ),
        ),
        Row(
            8,
            (
                (9, _per_worker("Users of each worker", "Users that each worker runs.", "short", '"users"')),
                (
                    6,
                    panels.bars(
                        "Share of each worker",
                        "How the recorded requests are shared out among the workers.",
                        "short",
                        series(f'SELECT last("produced") {_WORKERS} GROUP BY "worker"', "worker $tag_worker"),
                    ),
                ),
                (9, _workers()),
            ),
        ),
        Row(
            8,
            (
                (
                    8,
                    _per_worker(
                        "Samples that wait",
                        "Samples in each worker's buffer when it ships a batch.",
                        "short",
                        '"buffered"',
                    ),
                ),
                (8, _per_worker("Lag", "From packing a batch to its arrival in the stream.", "s", '"lag_s"')),
                (
                    8,
                    _per_worker(
                        "New connections per second",
                        "Connections that each worker opens; many of them mean that keep-alive is lost.",
                        "cps",
                        'non_negative_derivative(max("new_connections"), 1s)',
                        group="time($__interval), ",
                    ),
                ),
            ),
        ),
        Row(7, ((8, _per_worker("Memory of each worker", "Resident memory.", "bytes", '"rss"')), (16, _lost()))),
        Row(
            4,
            (
                (4, _delivered("In InfluxDB", "Requests of the run that InfluxDB has.", "stored", EVER)),
                (
                    4,
                    _delivered(
                        "Refused by InfluxDB",
                        "Requests of the run that InfluxDB does not take; their lines and its reason are kept.",
                        "rejected",
                        EVER,
                        steps=((None, panels.GOOD), (1, panels.BAD)),
                    ),
                ),
                (
                    4,
                    _delivered(
                        "Longest time until visible",
                        "Longest time from the end of a request until these boards could show it.",
                        "visible_s",
                        SHOWN,
                        "s",
                    ),
                ),
                (12, _ledger()),
            ),
        ),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
