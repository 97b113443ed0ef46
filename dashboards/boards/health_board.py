"""Generator and telemetry health: whether the measurement can be trusted."""

from __future__ import annotations

from typing import Any, Final

from boards import controls, panels
from boards.board import Board, Row
from boards.influx import LAST_YEAR, RES, RUN, TIME_RANGE, series, table
from boards.shared import DASHED, NO_RATE, OPEN_ONLY, help_text

__all__ = ["HEALTH_BOARD"]

_HELP: Final = (
    "Shows whether the other boards can be trusted. If a worker's event loop lags, measured latencies include the "
    "worker's own delay: add workers or cores. **Empty?** Choose a *Run*, open the board *Run* and click its verdict "
    "to select the time range. Samples are dropped when a worker's buffer is full because the stream is unavailable."
)
_LAG_MS: Final = 10
"""From this lag on a verdict is inconclusive; tight objectives lower the bound (docs/reference/objectives.md)."""
_RATES_OVER: Final = "5s"
"""Workers report about once a second, so shorter intervals would show the jitter of their reports."""
_WORKERS: Final = f'FROM "worker" WHERE {RUN} AND {TIME_RANGE}'


def _banner() -> Any:
    return panels.stat(
        "Did the generator keep up?",
        "If a worker's event loop lags by 10 ms or more, latencies measured then include the worker's own delay.",
        "string",
        series(f'SELECT max("loop_lag_ms") AS "lag" {_WORKERS}'),
        mappings=panels.ranges(
            (None, _LAG_MS, "yes: no worker lagged", panels.GOOD),
            (_LAG_MS, None, "not always: see event loop lag", panels.BAD),
        ),
        background=True,
    )


def _sum(title: str, description: str, field: str, unit: str = panels.COUNT, **more: Any) -> Any:
    inner = f'SELECT last("{field}") AS "{field}" {_WORKERS} GROUP BY "worker"'
    return panels.stat(title, description, unit, series(f'SELECT sum("{field}") AS "{title}" FROM ({inner})'), **more)


def _missing() -> Any:
    return panels.stat(
        "Workers missing",
        "Workers at the start of the selected time range minus workers at its end.",
        "short",
        series(
            'SELECT first("workers") - last("workers") AS "missing" FROM "rollup_all" '
            f"WHERE {RUN} AND \"res\" = '1s' AND {TIME_RANGE}"
        ),
        steps=((None, panels.GOOD), (1, panels.BAD)),
    )


def _largest(title: str, description: str, field: str, unit: str) -> Any:
    return panels.stat(title, description, unit, series(f'SELECT max("{field}") AS "{title}" {_WORKERS}'))


def _per_worker(title: str, description: str, unit: str, select: str, *, group: str = "", **more: Any) -> Any:
    query = series(f'SELECT {select} {_WORKERS} GROUP BY {group}"worker"', "worker $tag_worker")
    return panels.timeseries(title, description, unit, query, **more)


def _workers() -> Any:
    return panels.timeseries(
        "Workers",
        "Number of connected workers.",
        "short",
        series(f'SELECT "workers" AS "workers" FROM "rollup_all" WHERE {RUN} AND {RES} AND {TIME_RANGE}'),
    )


def _ledger() -> Any:
    return panels.table(
        "Ledger of the archive",
        "Samples produced, stored and dropped, and the most that killed workers may have lost (unknown).",
        table(
            'SELECT "produced" AS "produced", "stored" AS "stored", "dropped" AS "dropped", "unknown" AS "unknown", '
            f'"aborted" AS "aborted" FROM "run_summary" WHERE {RUN} AND {LAST_YEAR}'
        ),
        unit=panels.COUNT,
    )


def _delivered(title: str, description: str, field: str, during: str, unit: str = panels.COUNT, **more: Any) -> Any:
    query = f'SELECT max("{field}") AS "{title}" FROM "delivery" WHERE {RUN} AND {during}'
    return panels.stat(title, description, unit, series(query), **more)


def _arrivals() -> Any:
    rates = ", ".join(
        f'non_negative_derivative(max("arrivals_{what}"), 1s) AS "{what}"' for what in ("planned", "sent")
    )
    inner = f'SELECT {rates} {_WORKERS} GROUP BY time({_RATES_OVER}), "worker"'
    return panels.timeseries(
        "Arrivals per second",
        f"Arrivals that the rate asks for, and those that were sent, of all workers together. {OPEN_ONLY}",
        "reqps",
        series(
            f'SELECT sum("planned") AS "planned", sum("sent") AS "sent" FROM ({inner}) WHERE {TIME_RANGE} '
            f"GROUP BY time({_RATES_OVER}) fill(none)"
        ),
        columns={"planned": DASHED},
        empty=NO_RATE,
    )


def _not_sent() -> Any:
    return _sum(
        "Arrivals not sent",
        f"Arrivals that found no free user; more than 0.1 % make a run inconclusive. {OPEN_ONLY}",
        "arrivals_not_sent",
        steps=((None, panels.GOOD), (1, panels.BAD)),
        empty=NO_RATE,
    )


def _lateness() -> Any:
    return _per_worker(
        "Lateness of arrivals",
        "99th percentile of how late iterations began. Above 5 ms, or 5 % of the tightest latency objective if that is "
        f"more, a run is inconclusive. {OPEN_ONLY}",
        "ms",
        '"lateness_p99_ms"',
        empty=NO_RATE,
    )


def _lost() -> Any:
    return panels.table(
        "Workers that joined, were lost or restarted",
        "Events of the workers and the other processes of the platform.",
        table(
            f'SELECT "kind" AS "event", "text" AS "details" FROM "run_event" WHERE {RUN} AND {LAST_YEAR} '
            'AND "kind" =~ /^(worker_joined|worker_lost|worker_quit|orphaned|restarted|crashed)$/'
        ),
        empty="no worker joined late, was lost or restarted",
        hidden=(),
        sort=("Time", False),
    )


HEALTH_BOARD: Final = Board(
    uid="loadstone-health",
    description="Whether the load generator kept up, and whether every sample arrived.",
    variables=(controls.THIS_RUN, controls.RESOLUTION),
    annotations=controls.ANNOTATIONS[:3],
    rows=(
        Row(
            4,
            (
                (5, _banner()),
                (3, _sum("Produced", "Samples recorded by the workers.", "produced")),
                (3, _sum("Stored", "Samples stored in the archive.", "stored")),
                (
                    3,
                    _sum(
                        "Dropped",
                        "Samples dropped because a worker's buffer was full.",
                        "dropped",
                        steps=((None, panels.GOOD), (1, panels.BAD)),
                    ),
                ),
                (
                    3,
                    _largest(
                        "Peak buffer", "Highest number of samples buffered in one worker.", "buffered", panels.COUNT
                    ),
                ),
                (
                    3,
                    _largest(
                        "Longest lag",
                        "Longest time from packing a batch in a worker to its arrival in the stream.",
                        "lag_s",
                        "s",
                    ),
                ),
                (4, _missing()),
            ),
        ),
        Row(
            8,
            (
                (
                    12,
                    _per_worker(
                        "CPU of each worker",
                        "CPU usage of each worker, in percent of one core.",
                        "percent",
                        '"cpu_pct"',
                    ),
                ),
                (
                    12,
                    _per_worker(
                        "Event loop lag",
                        "99th percentile of the delay with which a worker's timers fire.",
                        "ms",
                        '"loop_lag_ms"',
                    ),
                ),
            ),
        ),
        Row(
            8,
            (
                (
                    8,
                    _per_worker(
                        "CPU of each worker's host",
                        "How busy all CPUs of the worker's machine are, whoever uses them; above 95 % it is full.",
                        "percent",
                        '"host_busy_pct"',
                    ),
                ),
                (
                    8,
                    _per_worker(
                        "CPU stolen from each worker's host",
                        "Share of the CPU time of the worker's machine that other virtual machines got instead.",
                        "percent",
                        '"host_stolen_pct"',
                    ),
                ),
                (
                    8,
                    _per_worker(
                        "Longest stall",
                        "Longest time for which a worker's event loop stood still since its last batch.",
                        "ms",
                        '"longest_stall_ms"',
                    ),
                ),
            ),
        ),
        Row(
            8,
            (
                (9, _per_worker("Users of each worker", "Active users of each worker.", "short", '"users"')),
                (
                    6,
                    panels.bars(
                        "Requests of each worker",
                        "Number of requests that each worker recorded.",
                        panels.COUNT,
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
                        "Buffered samples",
                        "Samples in each worker's buffer when it sends a batch.",
                        "short",
                        '"buffered"',
                    ),
                ),
                (8, _per_worker("Lag", "Time from packing a batch to its arrival in the stream.", "s", '"lag_s"')),
                (
                    8,
                    _per_worker(
                        "New connections per second",
                        "Connections opened by each worker; a high rate means that connections are not kept alive.",
                        "cps",
                        'non_negative_derivative(max("new_connections"), 1s)',
                        group="time($__interval), ",
                    ),
                ),
            ),
        ),
        Row(
            7,
            (
                (8, _per_worker("Memory of each worker", "Resident memory of each worker.", "bytes", '"rss"')),
                (16, _lost()),
            ),
        ),
        Row(8, ((9, _arrivals()), (6, _not_sent()), (9, _lateness()))),
        Row(
            4,
            (
                (3, _delivered("In InfluxDB", "Requests of the run stored in InfluxDB.", "stored", LAST_YEAR)),
                (
                    5,
                    _delivered(
                        "Rejected by InfluxDB",
                        "Requests of the run that InfluxDB rejected; their lines and reasons are kept as dead letters.",
                        "rejected",
                        LAST_YEAR,
                        steps=((None, panels.GOOD), (1, panels.BAD)),
                    ),
                ),
                (
                    5,
                    _delivered(
                        "Longest time until visible",
                        "Longest time from the end of a request until it was visible on these boards.",
                        "visible_s",
                        TIME_RANGE,
                        "s",
                    ),
                ),
                (11, _ledger()),
            ),
        ),
        Row(4, ((24, help_text(_HELP)),)),
    ),
)
