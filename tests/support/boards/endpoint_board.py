"""The expected result of each query of the board Endpoint."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from support.boards import run_board
from support.boards.facts import MS, NS, Figures, by_service
from support.boards.run_board import mean_of
from support.boards.values import BUCKET_WIDTH, Between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.boards.facts import Request
    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

BUCKETS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
SLOWEST: Final = 10
MOST_SHOWN: Final = 20


def heatmap(view: View) -> Rows:
    def between(figures: Figures, low: float | None, high: float | None) -> Between:
        least, most = (
            (figures.n if high is None else figures.within(high * edge))
            - (0 if low is None else figures.within(low * (2 - edge)))
            for edge in (1 - BUCKET_WIDTH, 1 + BUCKET_WIDTH)
        )
        return Between(least, most)

    def row(figures: Figures) -> dict[str, Any]:
        first, last = BUCKETS_MS[0], BUCKETS_MS[-1]
        middle = {str(high): between(figures, low, high) for low, high in pairwise(BUCKETS_MS)}
        return {str(first): between(figures, None, first), **middle, "+Inf": between(figures, last, None)}

    return view.spans(row, requests=view.requests(named=True))


def service_by_name(view: View) -> Rows:
    return view.named_spans(lambda figures: {"service p95": figures.percentile(95)}, by_service)


def last_minute(view: View) -> list[Request]:
    """Single requests of the last 60 s of the shown range."""
    to_ns = view.shown.to_ms * MS
    shown = (each for each in view.run.requests if to_ns - 60 * NS < each.end_ns <= to_ns)
    return [each for each in shown if view.chosen("name", each.name)]


def ok_against_failed(view: View) -> Rows:
    groups: dict[tuple[int, str], list[float]] = defaultdict(list)
    for each in last_minute(view):
        groups[each.end_ns - each.end_ns % NS, "t" if each.ok else "f"].append(each.rt_ms)
    return [{"time": at_ns, "ok": ok, "mean": mean_of(times)} for (at_ns, ok), times in groups.items()]


def first_byte(view: View) -> Rows:
    groups: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    for each in last_minute(view):
        if each.ttfb_ms is not None:
            groups[each.end_ns - each.end_ns % NS, each.method, each.name].append(each.ttfb_ms)
    return [
        {"time": at_ns, "method": method, "name": name, "mean": mean_of(times)}
        for (at_ns, method, name), times in groups.items()
    ]


def one_by_one(requests: Iterable[Request]) -> Rows:
    return [
        {
            "time": each.end_ns,
            "duration": each.rt_ms,
            "method": each.method,
            "name": each.name,
            "worker": each.worker,
            "status": each.status,
            "error": each.error,
        }
        for each in requests
    ]


def slowest(view: View) -> Rows:
    """The ten slowest of each ten seconds, then of these the shown and chosen ones, then the twenty slowest.

    Of equally slow ones each ten seconds keep the later, and InfluxDB's ``top`` keeps the earlier.
    """
    spans = view.run.spans(view.run.requests, 10).values()
    kept = [each for span in spans for each in sorted(span, key=_slowness)[:SLOWEST]]
    shown = [each for each in kept if view.covers(each.end_ns) and view.chosen("name", each.name)]
    return one_by_one(sorted(shown, key=lambda each: (-each.rt_ms, each.end_ns))[:MOST_SHOWN])


def _slowness(request: Request) -> tuple[float, int]:
    return -request.rt_ms, -request.end_ns


def failed_ones(view: View) -> Rows:
    failed = sorted((each for each in last_minute(view) if not each.ok), key=lambda each: -each.end_ns)
    return one_by_one(failed[:100])


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Latency heatmap", "A"): heatmap,
    ("Percentiles by name", "A"): lambda view: view.named_spans(lambda figures: figures.percentiles(50, 95, 99)),
    ("Percentiles by name", "B"): run_board.objective_line,
    ("Percentiles by name", "C"): service_by_name,
    ("Requests per second by name", "A"): lambda view: view.named_spans(lambda f: {"requests/s": f.n / view.res}),
    ("Failed requests by name", "A"): lambda view: view.named_spans(lambda f: {"failed": f.failed_pct}),
    ("Latency of successful and failed requests, last minute", "A"): ok_against_failed,
    ("Time to first byte, last minute", "A"): first_byte,
    ("Slowest requests", "A"): slowest,
    ("Failed requests, last minute", "A"): failed_ones,
    **{
        key: run_board.EXPECTED[key]
        for key in (
            ("Requests by name", "A"), ("Requests by name", "B"), ("Requests by name", "C"),
            ("annotation Run", "A"), ("annotation Workers", "A"),
            ("annotation Problems", "A"), ("variable run", "A"), ("variable name", "A"), ("variable objective", "A"),
        )
    },
}  # fmt: skip
