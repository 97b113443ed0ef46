"""What the queries of the boards Endpoint, Runs, Compare, Containers and capacity, and health have to return."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from support.boards import run_board
from support.boards.facts import MS, NS, Figures
from support.boards.run_board import epoch_ms, event_text, mean_of
from support.boards.values import Between, Near, OneOf, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.boards.facts import Facts, Request, WorkerPoint
    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["CAPACITY", "COMPARE", "ENDPOINT", "HEALTH", "RUNS"]

BUCKETS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
ALIGNED_NS: Final = 4_102_444_800 * NS
MIB: Final = 2**20
SLOWEST: Final = 10
MOST_SHOWN: Final = 20
VISIBLE_S: Final = 30.0
"""How long a request may take to be visible, with a worker that is killed and machines that are busy."""
_EDGE: Final = 0.008
"""A bound in ms is known to one bucket of the histogram: 1/128 of its value."""


# Endpoint


def heatmap(view: View) -> Rows:
    def between(figures: Figures, low: float | None, high: float | None) -> Between:
        least, most = (
            (figures.n if high is None else figures.within(high * edge))
            - (0 if low is None else figures.within(low * (2 - edge)))
            for edge in (1 - _EDGE, 1 + _EDGE)
        )
        return Between(least, most)

    def row(figures: Figures) -> dict[str, Any]:
        first, last = BUCKETS_MS[0], BUCKETS_MS[-1]
        middle = {str(high): between(figures, low, high) for low, high in pairwise(BUCKETS_MS)}
        return {str(first): between(figures, None, first), **middle, "+Inf": between(figures, last, None)}

    return view.spans(row, requests=view.requests(named=True))


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
            "took": each.rt_ms,
            "method": each.method,
            "name": each.name,
            "worker": each.worker,
            "status": each.status,
            "error": each.error,
        }
        for each in requests
    ]


def slowest(view: View) -> Rows:
    """The ten slowest of each ten seconds, then of these the shown and chosen ones, then the twenty slowest."""
    spans = view.run.spans(view.run.requests, 10).values()
    kept = [each for span in spans for each in sorted(span, key=_slowness)[:SLOWEST]]
    shown = [each for each in kept if view.covers(each.end_ns) and view.chosen("name", each.name)]
    return one_by_one(sorted(shown, key=_slowness)[:MOST_SHOWN])


def _slowness(request: Request) -> tuple[float, int]:
    return -request.rt_ms, -request.end_ns


def failed_ones(view: View) -> Rows:
    failed = sorted((each for each in last_minute(view) if not each.ok), key=lambda each: -each.end_ns)
    return one_by_one(failed[:100])


ENDPOINT: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Latency heatmap", "A"): heatmap,
    ("Percentiles by name", "A"): lambda view: view.named_spans(lambda figures: figures.percentiles(50, 95, 99)),
    ("Percentiles by name", "B"): run_board.objective_line,
    ("Requests per second by name", "A"): lambda view: view.named_spans(lambda f: {"requests/s": f.n / view.res}),
    ("Failed requests by name", "A"): lambda view: view.named_spans(lambda f: {"failed": f.failed_pct}),
    ("Latency of good and failed requests, last minute", "A"): ok_against_failed,
    ("Time to first byte, last minute", "A"): first_byte,
    ("Slowest requests", "A"): slowest,
    ("Failed requests, last minute", "A"): failed_ones,
    **{
        key: run_board.EXPECTED[key]
        for key in (
            ("Requests by name", "A"), ("Requests by name", "B"), ("annotation Run", "A"), ("annotation Workers", "A"),
            ("annotation Trouble", "A"), ("variable run", "A"), ("variable name", "A"), ("variable objective", "A"),
        )
    },
}  # fmt: skip


# Runs: figures of the window, from single requests


class Summary:
    """What a run came to in its window, from its single requests; usage from its ticks."""

    def __init__(self, facts: Facts) -> None:
        document = facts.document
        self.document, self.id = document, facts.id
        self.start_ms, self.end_ms = epoch_ms(document["started_at"]), epoch_ms(document["ended_at"])
        start_ns, end_ns = document["window"]["start_ns"], document["window"]["end_ns"]
        self.figures = Figures([each for each in facts.requests if _in_window(each.end_ns, start_ns, end_ns)])
        self.seconds = (end_ns - start_ns) / NS
        self.requests = len(facts.requests)
        told = [each["data"]["users"] for each in facts.events if each["kind"] == "users"]
        self.users_peak = max(told)
        self.usage = document["usage"].get("target", {})

    @property
    def rps(self) -> float:
        return self.figures.n / float(self.seconds)

    def percentile(self, percent: float) -> Near | None:
        return self.figures.percentile(percent)

    @property
    def time(self) -> int:
        return self.start_ms * MS

    @property
    def range(self) -> dict[str, int]:
        return {"from_ms": self.start_ms - 10_000, "to_ms": self.end_ms + 5_000}


def _in_window(at_ns: int, start_ns: int, end_ns: int) -> bool:
    """Whole seconds from the one after the window's beginning to the one before its end; see the archive's window."""
    return start_ns <= at_ns < end_ns


def summaries(view: View, *, shown: bool = True) -> list[Summary]:
    found = [Summary(each) for each in view.runs.values()]
    return [each for each in found if not shown or view.covers(each.time)]


def all_runs(view: View) -> Rows:
    return [
        {
            "run": each.id,
            "verdict": each.document["verdict"],
            "users": each.users_peak,
            "requests": each.requests,
            "requests/s": each.rps,
            "failed": each.figures.failed_pct,
            "mean": each.figures.mean,
            "p95": each.percentile(95),
            "CPU limit": each.usage.get("cpu_limit"),
            "memory limit": each.usage.get("mem_limit"),
            "took": (each.end_ms - each.start_ms) / 1000,
            "target": each.document["host"],
            **each.range,
        }
        for each in summaries(view)
    ]


def from_run_to_run(columns: Callable[[Summary], dict[str, Any]]) -> Callable[[View], Rows]:
    return lambda view: [{"time": each.time, **columns(each)} for each in summaries(view)]


RUNS: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Runs", "A"): lambda view: [{"runs": n}] if (n := len(summaries(view))) else [],
    ("All runs", "A"): all_runs,
    ("Latency from run to run", "A"): from_run_to_run(
        lambda run: {"mean": run.figures.mean, **run.figures.percentiles(50, 95, 99)}
    ),
    ("Requests per second from run to run", "A"): from_run_to_run(
        lambda run: {"requests/s": run.rps, "users": run.users_peak}
    ),
    ("Failed requests from run to run", "A"): from_run_to_run(lambda run: {"failed": run.figures.failed_pct}),
    ("CPU of the target from run to run", "A"): lambda view: [
        {"time": each.time, "mean": each.usage["cpu_cores"], "highest": each.usage["cpu_cores_max"]}
        for each in summaries(view)
        if each.usage
    ],
}


# Compare


def chosen_runs(view: View) -> list[Facts]:
    runs = view.shown.variables["runs"]
    return [view.runs[each] for each in sorted({str(view.shown.variables["baseline"]), *runs})]


def overlay(columns: Callable[[Figures, Callable[[str], OneOf]], dict[str, Any]]) -> Callable[[View], Rows]:
    """Rows of ten seconds from the beginning of each run on, at 2100."""

    def found(view: View) -> Rows:
        rows = []
        for facts in chosen_runs(view):
            started_ns = next(each["at_ns"] for each in facts.events if each["kind"] == "started")
            start_ns = started_ns - started_ns % NS
            spans: dict[int, list[Request]] = defaultdict(list)
            for each in facts.requests:
                spans[(each.end_ns - start_ns) // (10 * NS) * 10 * NS].append(each)
            here = view.of(facts)
            for elapsed_ns, requests in spans.items():
                ended_ns = start_ns + elapsed_ns + 10 * NS
                row = columns(Figures(requests), partial(here.sampled, ended_ns))
                if view.covers(ALIGNED_NS + elapsed_ns) and any(value != OneOf((None,)) for value in row.values()):
                    rows.append({"time": ALIGNED_NS + elapsed_ns, "run": facts.id, **row})
        return rows

    return found


def change(new: Any, old: Any) -> Any:
    """By how many percent the new is higher; of percentiles, what their histograms leave open."""
    if isinstance(new, Near) and isinstance(old, Near):
        ratio = 100 * new.value / old.value
        return Between(ratio * (1 - 2 * _EDGE) - 100, ratio * (1 + 2 * _EDGE) - 100)
    return (new / old - 1) * 100


def differences(view: View) -> Rows:
    base = Summary(view.baseline)
    return [
        {
            "run": each.id,
            "requests/s, more is better": change(each.rps, base.rps),
            "failed, points, less is better": each.figures.failed_pct - base.figures.failed_pct,
            "mean, less is better": change(each.figures.mean, base.figures.mean),
            "p95, less is better": change(each.percentile(95), base.percentile(95)),
            "p99, less is better": change(each.percentile(99), base.percentile(99)),
        }
        for each in map(Summary, chosen_runs(view))
    ]


def usage_differences(view: View) -> Rows:
    """Only of runs whose target was measured, and only if the baseline's was."""
    base = Summary(view.baseline).usage
    return [
        {
            "run": each.id,
            "CPU, less is better": change(each.usage["cpu_cores"], base["cpu_cores"]),
            "memory, less is better": change(each.usage["mem_bytes"], base["mem_bytes"]),
        }
        for each in map(Summary, chosen_runs(view))
        if each.usage and base
    ]


def figures_of_runs(view: View) -> Rows:
    return [
        {
            "run": each.id,
            "verdict": each.document["verdict"],
            "users": each.users_peak,
            "requests/s": each.rps,
            "failed": each.figures.failed_pct,
            "mean": each.figures.mean,
            **each.figures.percentiles(50, 95, 99),
            "CPU": each.usage.get("cpu_cores"),
            "memory": each.usage.get("mem_bytes"),
            **each.range,
        }
        for each in map(Summary, chosen_runs(view))
    ]


def base_value(value: Callable[[Summary], Any], field: str) -> Callable[[View], Rows]:
    def found(view: View) -> Rows:
        known = value(Summary(view.baseline))
        return [] if known is None else [{field: known}]

    return found


COMPARE: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Difference to the baseline", "A"): differences,
    ("Difference to the baseline", "B"): usage_differences,
    ("Figures", "A"): figures_of_runs,
    ("Users", "A"): overlay(lambda _, sampled: {"users": sampled("users")}),
    ("Requests per second", "A"): overlay(lambda figures, _: {"requests/s": figures.n / 10}),
    ("Mean", "A"): overlay(lambda figures, _: {"mean": figures.mean}),
    ("p95", "A"): overlay(lambda figures, _: figures.percentiles(95)),
    ("Failed", "A"): overlay(lambda figures, _: {"failed": figures.failed_pct}),
    ("CPU", "A"): overlay(lambda _, sampled: {"target_cpu_cores": sampled("target_cpu_cores")}),
    ("Memory", "A"): overlay(lambda _, sampled: {"target_mem_bytes": sampled("target_mem_bytes")}),
    ("variable baseline", "A"): run_board.EXPECTED["variable run", "A"],
    ("variable runs", "A"): run_board.EXPECTED["variable run", "A"],
    ("variable base_rps", "A"): base_value(lambda run: run.rps, "rps"),
    ("variable base_mean", "A"): base_value(lambda run: run.figures.mean, "mean_ms"),
    ("variable base_p95", "A"): base_value(lambda run: run.percentile(95), "p95_ms"),
    ("variable base_p99", "A"): base_value(lambda run: run.percentile(99), "p99_ms"),
    ("variable base_failures", "A"): base_value(lambda run: run.figures.failed_pct, "failures_pct"),
    ("variable base_cpu", "A"): base_value(lambda run: run.usage.get("cpu_cores"), "target_cpu_cores"),
    ("variable base_memory", "A"): base_value(lambda run: run.usage.get("mem_bytes"), "target_mem_bytes"),
}


# Containers and capacity


def per_core(view: View) -> Rows:
    """Left out where the target's usage is not known."""
    rows = []
    for row in view.spans(lambda figures: {"n": figures.n}):
        known = view.sampled(row["time"] + view.res * NS, "target_cpu_cores").values
        values = tuple(row["n"] / view.res / cores for cores in known if cores)
        if values:
            rows.append(optional({"time": row["time"], "requests/s per core": OneOf(values)}, all(known)))
    return rows


def per_user(view: View) -> Rows:
    """Left out where the target's usage is not known, or no user is left."""
    rows = []
    for row in view.spans(lambda _: {}):
        at_ns = row["time"] + view.res * NS
        sizes, users = (view.sampled(at_ns, field).values for field in ("target_mem_bytes", "users"))
        if values := tuple(size / MIB / count for size in sizes for count in users if size and count):
            rows.append(optional({"time": row["time"], "MiB per user": OneOf(values)}, all((*sizes, *users))))
    return rows


def against_rate(view: View) -> Rows:
    return view.spans(lambda figures: {"requests/s": figures.n / view.res, "p95": figures.percentile(95)})


def against_users(view: View) -> Rows:
    rows = view.spans(lambda figures: {"p95": figures.percentile(95)})
    return [{**row, "users": view.sampled(row["time"] + view.res * NS, "users")} for row in rows]


def first_at_limit(field: str) -> Callable[[View], Rows]:
    def found(view: View) -> Rows:
        rows = []
        for (service, container), ticks in view.containers().items():
            over = [each for each in ticks if (getattr(each, field) or 0) >= 90]
            if over:
                row = {"service": service, "container": container, "time": over[0].at_ns}
                rows.append({**row, "share of the limit": getattr(over[0], field)})
        return rows

    return found


def used(view: View) -> Rows:
    def known(ticks: list[Any], field: str) -> list[Any]:
        return [value for value in map(attrgetter(field), ticks) if value is not None]

    return [
        {
            "service": service,
            "container": container,
            "CPU mean": mean_of(known(ticks, "cpu_cores")),
            "CPU highest": max(known(ticks, "cpu_cores")),
            "CPU limit": next(reversed(known(ticks, "cpu_limit")), None),
            "throttled": max(known(ticks, "throttled_pct"), default=None),
            "memory highest": max(known(ticks, "mem_bytes")),
            "memory limit": next(reversed(known(ticks, "mem_limit")), None),
            "out of memory": max(known(ticks, "oom")),
        }
        for (service, container), ticks in view.containers().items()
    ]


def limits(view: View) -> Rows:
    return [
        {
            "run": each.id,
            "CPU limit": each.usage.get("cpu_limit"),
            "memory limit": each.usage.get("mem_limit"),
            "users": each.users_peak,
            "requests/s": each.rps,
            "p95": each.percentile(95),
            "failed": each.figures.failed_pct,
            "CPU": each.usage.get("cpu_cores"),
            "memory": each.usage.get("mem_bytes"),
            "requests/s per core": each.rps / each.usage["cpu_cores"] if each.usage else None,
            "out of memory": each.usage.get("oom"),
            "verdict": each.document["verdict"],
            **each.range,
        }
        for each in summaries(view, shown=False)
    ]


CAPACITY: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Requests per second and CPU core", "A"): per_core,
    ("Memory per user", "A"): per_user,
    ("Latency against requests per second", "A"): against_rate,
    ("Latency against users", "A"): against_users,
    ("First at its CPU limit", "A"): first_at_limit("cpu_pct"),
    ("First at its memory limit", "A"): first_at_limit("mem_pct"),
    ("What each container used", "A"): used,
    ("Network received", "A"): lambda view: view.usage("rx_bps", "mean", mean_of),
    ("Network sent", "A"): lambda view: view.usage("tx_bps", "mean", mean_of),
    ("Limits and outcomes of all runs", "A"): limits,
    **{
        key: expected
        for key, expected in run_board.EXPECTED.items()
        if key[0] in {"CPU of each container", "CPU throttling of each container", "Memory of each container"}
        or re.match(r"annotation|variable (run|service)", key[0])
    },
}


# Generator and telemetry health


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


def per_worker(column: str, value: Callable[[WorkerPoint], float]) -> Callable[[View], Rows]:
    return lambda view: [{"time": each.at_ns, "worker": each.worker, column: value(each)} for each in points(view)]


def loop_lag_ms(point: WorkerPoint) -> float:
    """99 % of the batch's probes were at most this late, by nearest rank."""
    return point.batch.loop_lag_p99_ms


def lag_s(point: WorkerPoint) -> float:
    return (point.arrived_ms - point.at_ns / MS) / 1000


def missing(view: View) -> Rows:
    spans = view.run.spans(view.requests(), 1)
    first, last = (view.sampled(at_ns + NS, "workers").values for at_ns in (min(spans), max(spans)))
    return [{"missing": OneOf(tuple(before - after for before in first for after in last))}]


def workers_there(view: View) -> Rows:
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


def happenings(view: View) -> Rows:
    kinds = ("worker_joined", "worker_lost", "orphaned", "restarted", "crashed")
    told = view.events(*kinds)
    return [{"time": each["at_ns"], "event": each["kind"], "about": event_text(each)} for each in told]


def ledger(view: View) -> Rows:
    counts = view.run.document["ledgers"]["archive"]
    stored = len(view.run.requests)
    row = {key: counts[key] for key in ("produced", "dropped", "unknown")}
    return [{**row, "stored": stored, "aborted": view.run.document["aborted"]}]


HEALTH: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Was the generator the bottleneck?", "A"): largest("lag", loop_lag_ms),
    ("Produced", "A"): sum_of_last("Produced", lambda point: point.batch.produced),
    ("Stored", "A"): sum_of_last("Stored", lambda point: point.stored),
    ("Dropped", "A"): sum_of_last("Dropped", lambda point: point.batch.dropped),
    ("Largest buffer", "A"): largest("Largest buffer", lambda point: point.batch.buffered),
    ("Longest lag", "A"): largest("Longest lag", lag_s),
    ("Workers missing", "A"): missing,
    ("CPU of each worker", "A"): per_worker("cpu_pct", lambda point: point.batch.cpu_pct),
    ("Lateness of event loops", "A"): per_worker("loop_lag_ms", loop_lag_ms),
    ("Users of each worker", "A"): per_worker("users", lambda point: point.batch.users),
    ("Share of each worker", "A"): lambda view: [
        {"worker": worker, "last": mine[-1].batch.produced} for worker, mine in by_worker(view).items()
    ],
    ("Workers", "A"): workers_there,
    ("Samples that wait", "A"): per_worker("buffered", lambda point: point.batch.buffered),
    ("Lag", "A"): per_worker("lag_s", lag_s),
    ("New connections per second", "A"): new_connections,
    ("Memory of each worker", "A"): per_worker("rss", lambda point: point.batch.rss_bytes),
    ("Workers that joined, were lost or restarted", "A"): happenings,
    ("Ledger of the archive", "A"): ledger,
    ("In InfluxDB", "A"): lambda view: [{"In InfluxDB": len(view.run.requests)}],
    ("Refused by InfluxDB", "A"): lambda _: [{"Refused by InfluxDB": 0}],
    ("Longest time until visible", "A"): lambda _: [{"Longest time until visible": Between(0.001, VISIBLE_S)}],
    **{
        key: run_board.EXPECTED[key]
        for key in (
            ("annotation Run", "A"), ("annotation Workers", "A"), ("annotation Trouble", "A"), ("variable run", "A"),
        )
    },
}  # fmt: skip
