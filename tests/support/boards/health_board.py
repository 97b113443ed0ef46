"""The expected result of each query of the board Generator and telemetry health."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.arrival_counts import NO_ARRIVALS
from support.boards import run_board
from support.boards.facts import MS, NS
from support.boards.run_board import event_text
from support.boards.values import Between, Near, OneOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.arrival_counts import ArrivalCounts
    from support.boards.facts import WorkerPoint
    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

RATES_OVER_S: Final = 5
VISIBLE_S: Final = 30.0
"""The longest time until a request is visible, with a worker that is killed and on a busy machine."""


def points(view: View) -> list[WorkerPoint]:
    return [each for each in view.run.workers if view.covers(each.at_ns)]


def by_worker(view: View) -> dict[str, list[WorkerPoint]]:
    found: dict[str, list[WorkerPoint]] = defaultdict(list)
    for each in sorted(points(view)):
        found[each.worker].append(each)
    return found


def sum_of_last(column: str, value: Callable[[WorkerPoint], int]) -> Callable[[View], Rows]:
    return lambda view: [{column: sum(value(each[-1]) for each in by_worker(view).values())}]


def largest(column: str, value: Callable[[WorkerPoint], float]) -> Callable[[View], Rows]:
    return lambda view: [{column: max(map(value, points(view)))}]


def per_worker(column: str, value: Callable[[WorkerPoint], Near | float | None]) -> Callable[[View], Rows]:
    def rows(view: View) -> Rows:
        values = [(each, value(each)) for each in points(view)]
        return [
            {"time": each.at_ns, "worker": each.worker, column: known} for each, known in values if known is not None
        ]

    return rows


def loop_lag_ms(point: WorkerPoint) -> float:
    """99 % of the batch's probes were at most this late, by nearest rank."""
    return point.batch.loop_lag_p99_ms


def lag_s(point: WorkerPoint) -> float:
    return (point.arrived_ms - point.at_ns / MS) / 1000


def missing(view: View) -> Rows:
    spans = view.run.spans(view.requests(), 1)
    first, last = (view.sampled(at_ns + NS, "workers").values for at_ns in (min(spans), max(spans)))
    return [{"missing": OneOf(tuple(before - after for before in first for after in last))}]


def connected_workers(view: View) -> Rows:
    rows = view.spans(lambda _: {})
    return [{**row, "workers": view.sampled(row["time"] + view.res * NS, "workers")} for row in rows]


def new_connections(view: View) -> Rows:
    """The rise from interval to interval; InfluxDB also looks at the interval before the shown range."""
    width_ns = view.shown.interval_ms * MS
    from_ns = view.shown.from_ms * MS - width_ns
    highest: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for each in view.run.workers:
        at_ns = each.at_ns - each.at_ns % width_ns
        if from_ns <= each.at_ns <= view.shown.to_ms * MS:
            highest[each.worker][at_ns] = max(highest[each.worker][at_ns], each.batch.new_connections)
    return [
        {"time": at_ns, "worker": worker, "non_negative_derivative": (after - before) / ((at_ns - before_ns) / NS)}
        for worker, mine in highest.items()
        for (before_ns, before), (at_ns, after) in pairwise(sorted(mine.items()))
        if after >= before
    ]


def arrivals(view: View) -> Rows:
    """Rises of the workers' running totals over five seconds, added up; InfluxDB also looks at the interval before."""
    width_ns = RATES_OVER_S * NS
    from_ns, to_ns = view.shown.from_ms * MS, view.shown.to_ms * MS
    highest: dict[str, dict[int, ArrivalCounts]] = defaultdict(dict)
    for each in sorted(view.run.workers):
        at_ns = each.at_ns - each.at_ns % width_ns
        if each.batch.arrivals is not None and from_ns - width_ns <= each.at_ns <= to_ns:
            highest[each.worker][at_ns] = max(highest[each.worker].get(at_ns, NO_ARRIVALS), each.batch.arrivals)
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for mine in highest.values():
        for (before_ns, before), (at_ns, after) in pairwise(sorted(mine.items())):
            grown, seconds = after.since(before), (at_ns - before_ns) / NS
            for place, count in enumerate((grown.planned, grown.sent)):
                sums[at_ns][place] += count / seconds
    return [{"time": at_ns, "planned": planned, "sent": sent} for at_ns, (planned, sent) in sums.items()]


def not_sent(view: View) -> Rows:
    told = [mine[-1].batch.arrivals for mine in by_worker(view).values()]
    known = [each.not_sent for each in told if each is not None]
    return [{"Arrivals not sent": sum(known)}] if known else []


def lateness_p99_ms(point: WorkerPoint) -> Near | None:
    late_us = point.late_us
    return Near(float(np.percentile(late_us, 99, method="inverted_cdf")) / 1000) if late_us else None


def worker_events(view: View) -> Rows:
    kinds = ("worker_joined", "worker_lost", "orphaned", "restarted", "crashed")
    told = view.events(*kinds)
    return [{"time": each["at_ns"], "event": each["kind"], "details": event_text(each)} for each in told]


def ledger(view: View) -> Rows:
    counts = view.run.document["ledgers"]["archive"]
    stored = len(view.run.requests)
    row = {key: counts[key] for key in ("produced", "dropped", "unknown")}
    return [{**row, "stored": stored, "aborted": view.run.document["aborted"]}]


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Did the generator keep up?", "A"): largest("lag", loop_lag_ms),
    ("Produced", "A"): sum_of_last("Produced", lambda point: point.batch.produced),
    ("Stored", "A"): sum_of_last("Stored", lambda point: point.stored),
    ("Dropped", "A"): sum_of_last("Dropped", lambda point: point.batch.dropped),
    ("Peak buffer", "A"): largest("Peak buffer", lambda point: point.batch.buffered),
    ("Longest lag", "A"): largest("Longest lag", lag_s),
    ("Workers missing", "A"): missing,
    ("Arrivals per second", "A"): arrivals,
    ("Arrivals not sent", "A"): not_sent,
    ("Lateness of arrivals", "A"): per_worker("lateness_p99_ms", lateness_p99_ms),
    ("CPU of each worker", "A"): per_worker("cpu_pct", lambda point: point.batch.cpu_pct),
    ("Event loop lag", "A"): per_worker("loop_lag_ms", loop_lag_ms),
    ("CPU of each worker's host", "A"): per_worker("host_busy_pct", lambda point: point.batch.host_busy_pct),
    ("CPU stolen from each worker's host", "A"): per_worker(
        "host_stolen_pct", lambda point: point.batch.host_stolen_pct
    ),
    ("Longest stall", "A"): per_worker("longest_stall_ms", lambda point: point.batch.longest_stall_ms),
    ("Users of each worker", "A"): per_worker("users", lambda point: point.batch.users),
    ("Requests of each worker", "A"): lambda view: [
        {"worker": worker, "last": mine[-1].batch.produced} for worker, mine in by_worker(view).items()
    ],
    ("Workers", "A"): connected_workers,
    ("Buffered samples", "A"): per_worker("buffered", lambda point: point.batch.buffered),
    ("Lag", "A"): per_worker("lag_s", lag_s),
    ("New connections per second", "A"): new_connections,
    ("Memory of each worker", "A"): per_worker("rss", lambda point: point.batch.rss_bytes),
    ("Workers that joined, were lost or restarted", "A"): worker_events,
    ("Ledger of the archive", "A"): ledger,
    ("In InfluxDB", "A"): lambda view: [{"In InfluxDB": len(view.run.requests)}],
    ("Rejected by InfluxDB", "A"): lambda _: [{"Rejected by InfluxDB": 0}],
    ("Longest time until visible", "A"): lambda _: [{"Longest time until visible": Between(0.001, VISIBLE_S)}],
    **{
        key: run_board.EXPECTED[key]
        for key in (
            ("annotation Run", "A"), ("annotation Workers", "A"), ("annotation Problems", "A"), ("variable run", "A"),
        )
    },
}  # fmt: skip
