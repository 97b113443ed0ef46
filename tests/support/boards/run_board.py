"""The expected result of each query of the board Run."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from support.boards.facts import NS, Figures, by_service, kind_of
from support.boards.values import OneOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED", "epoch_ms", "event_text"]

RUN_KINDS: Final = ("started", "ramp_done", "stage", "stopping", "stopped", "names_capped")
WORKER_KINDS: Final = ("worker_joined", "worker_lost", "orphaned")
PROBLEM_KINDS: Final = ("restarted", "crashed", "target_exited", "interrupted", "exception")


def epoch_ms(text: str) -> int:
    """Convert a time in run.json to ms since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def event_text(event: dict[str, Any]) -> str:
    """Return the text of an event: its plain data, or its kind."""
    plain = {key: value for key, value in event["data"].items() if isinstance(value, str | int | float) and value != ""}
    return ", ".join(f"{key}={value}" for key, value in plain.items()) or str(event["kind"])


def verdict(view: View) -> Rows:
    run = view.run.document
    start_ms, end_ms = epoch_ms(run["started_at"]), epoch_ms(run["ended_at"])
    return [{"verdict": run["verdict"], "run": run["id"], "from_ms": start_ms - 10_000, "to_ms": end_ms + 5_000}]


def active_users(view: View) -> Rows:
    last_ns = max(each.end_ns for each in view.requests())
    return [{"last": view.sampled(last_ns - last_ns % NS + NS, "users")}]


def mean_rate(view: View) -> Rows:
    spans = view.run.spans(view.requests(), 1)
    quiet = (max(spans) - min(spans)) // NS + 1 - len(spans)
    return [{"mean": len(view.requests()) / (len(spans) + quiet)}]


def peak(view: View) -> Rows:
    return [{"max": max(len(each) for each in view.run.spans(view.requests(), 1).values())}]


def users(view: View) -> Rows:
    ends = [(row["time"], row["time"] + view.res * NS) for row in view.spans(lambda _: {})]
    return [
        {"time": at_ns, "users": view.sampled(end_ns, "users"), "target users": view.sampled(end_ns, "target_users")}
        for at_ns, end_ns in ends
    ]


def latency(view: View) -> Rows:
    return view.spans(lambda figures: {"mean": figures.mean, **figures.percentiles(50, 95, 99)})


def service_latency(view: View) -> Rows:
    return view.spans(
        lambda figures: {"service p95": figures.percentile(95), "service p99": figures.percentile(99)},
        requests=by_service(view.requests(view.res)),
    )


def objective_line(view: View) -> Rows:
    limit = float(str(view.shown.variables["objective"]) or 0)
    return view.spans(lambda _: {"objective": limit}) if limit else []


def endpoint_totals(view: View) -> Rows:
    def row(figures: Figures) -> dict[str, Any]:
        counts = {"requests": figures.n, "failures": figures.err, "failed": figures.failed_pct}
        return {**counts, "mean": figures.mean, "longest": figures.longest}

    named = view.by_name(view.requests(named=True))
    return [{"method": method, "name": name, **row(Figures(each))} for (method, name), each in named.items()]


def endpoint_percentiles(view: View) -> Rows:
    named = view.by_name(each for each in view.run.requests if view.chosen("name", each.name))
    return [
        {"method": method, "name": name, **Figures(each).percentiles(50, 95, 99)}
        for (method, name), each in named.items()
    ]


def endpoint_service(view: View) -> Rows:
    named = view.by_name(each for each in by_service(view.run.requests) if view.chosen("name", each.name))
    return [
        {"method": method, "name": name, "service p95": Figures(each).percentile(95)}
        for (method, name), each in named.items()
    ]


def errors(view: View) -> Rows:
    failed = [each for each in view.requests(named=True) if not each.ok]
    kinds = {(each.method, each.name, kind_of(each)) for each in failed}
    found = []
    for method, name, kind in sorted(kinds):
        mine = [each for each in failed if (each.method, each.name, kind_of(each)) == (method, name, kind)]
        last_second = [each for each in mine if each.end_ns // NS == mine[-1].end_ns // NS]
        messages = OneOf(tuple(each.error for each in last_second))
        statuses = OneOf(tuple(each.status for each in last_second))
        row = {"method": method, "name": name, "kind": kind}
        found.append({**row, "failures": len(mine), "status": statuses, "message": messages})
    return found


def errors_over_time(view: View) -> Rows:
    # Points exist per second; a time bucket of the panel contains the seconds in the selected range.
    failed = [each for each in view.requests(named=True) if not each.ok]
    width_ns = view.res * NS
    counts = Counter((each.end_ns - each.end_ns % width_ns, kind_of(each)) for each in failed)
    return [{"time": at_ns, "kind": kind, "sum": n} for (at_ns, kind), n in counts.items()]


def objectives(view: View) -> Rows:
    return [
        {
            "objective": each["text"],
            "measured": each["value"],
            "limit": each["limit"],
            "met": each["ok"],
            "reason": each["reason"] or None,
        }
        for each in view.run.document["objectives"]
    ]


def events(view: View) -> Rows:
    return [{"time": each["at_ns"], "event": each["kind"], "details": event_text(each)} for each in view.events()]


def marks(*kinds: str) -> Callable[[View], Rows]:
    """Expect the events of these kinds in the selected time range."""

    def found(view: View) -> Rows:
        shown = [each for each in view.events(*kinds) if view.covers(each["at_ns"])]
        return [{"time": each["at_ns"], "kind": each["kind"], "text": event_text(each)} for each in shown]

    return found


def kills(view: View) -> Rows:
    found: Rows = []
    for (service, container), ticks in view.all_containers().items():
        row = {"service": service, "container": container}
        found += [{**row, "time": tick.at_ns, "kills": tick.oom} for tick in ticks if tick.oom]
    return found


def tag_values(values: Callable[[View], set[str]]) -> Callable[[View], Rows]:
    """Expect the result of SHOW TAG VALUES."""
    return lambda view: [{"value": value} for value in sorted(values(view))]


def latency_limits(view: View) -> Rows:
    latencies = ("p", "mean", "max")
    return [
        {"limit": each["limit"]} for each in view.run.document["objectives"] if each["metric"].startswith(latencies)
    ]


def mean_of(values: list[float]) -> float:
    return sum(values) / len(values)


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Verdict", "A"): verdict,
    ("Active users", "A"): active_users,
    ("Requests/s", "A"): mean_rate,
    ("Peak", "A"): peak,
    ("Failed", "A"): lambda view: view.total(lambda figures: {"failed": figures.failed_pct}),
    ("Mean", "A"): lambda view: view.total(lambda figures: {"mean": figures.mean}),
    ("Run p95", "A"): lambda view: [{"p95": Figures(view.run.requests).percentile(95)}],
    ("Requests", "A"): lambda view: view.total(lambda figures: {"sum": figures.n}),
    ("Users and requests per second", "A"): lambda view: view.spans(lambda f: {"requests/s": f.n / view.res}),
    ("Users and requests per second", "B"): users,
    ("Failed requests", "A"): lambda view: view.spans(lambda figures: {"failed": figures.failed_pct}),
    ("Latency", "A"): latency,
    ("Latency", "B"): objective_line,
    ("Latency", "C"): service_latency,
    ("CPU of each container", "A"): lambda view: view.usage("cpu_cores", "mean", mean_of),
    ("CPU of each container", "B"): lambda view: view.usage("cpu_limit", "max", max),
    ("CPU throttling of each container", "A"): lambda view: view.usage("throttled_pct", "max", max),
    ("Memory of each container", "A"): lambda view: view.usage("mem_bytes", "max", max),
    ("Memory of each container", "B"): lambda view: view.usage("mem_limit", "max", max),
    ("Requests by name", "A"): endpoint_totals,
    ("Requests by name", "B"): endpoint_percentiles,
    ("Requests by name", "C"): endpoint_service,
    ("Errors", "A"): errors,
    ("Errors by kind", "A"): errors_over_time,
    ("Objectives", "A"): objectives,
    ("Events", "A"): events,
    ("annotation Run", "A"): marks(*RUN_KINDS),
    ("annotation Workers", "A"): marks(*WORKER_KINDS),
    ("annotation Problems", "A"): marks(*PROBLEM_KINDS),
    ("annotation Out of memory", "A"): kills,
    ("variable run", "A"): tag_values(lambda view: set(view.runs)),
    ("variable name", "A"): tag_values(lambda view: {each.name for each in view.run.requests}),
    ("variable service", "A"): tag_values(lambda view: {each.service for each in view.run.usage}),
    ("variable objective", "A"): latency_limits,
}
