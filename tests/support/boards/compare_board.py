"""The expected result of each query of the board Compare."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from support.boards import run_board
from support.boards.facts import NS, Figures, by_service
from support.boards.runs_board import Summary
from support.boards.values import BUCKET_WIDTH, Between, Near, OneOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.boards.facts import Facts, Request
    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

ALIGNED_NS: Final = 4_102_444_800 * NS


def chosen_runs(view: View) -> list[Facts]:
    runs = view.shown.variables["runs"]
    return [view.runs[each] for each in sorted({str(view.shown.variables["baseline"]), *runs})]


def overlay(
    columns: Callable[[Figures, Callable[[str], OneOf]], dict[str, Any]],
    of: Callable[[Iterable[Request]], Iterable[Request]] = iter,
) -> Callable[[View], Rows]:
    """Rows of ten seconds from the beginning of each run on, at 2100; ``of`` may change the requests."""

    def found(view: View) -> Rows:
        rows = []
        for facts in chosen_runs(view):
            started_ns = next(each["at_ns"] for each in facts.events if each["kind"] == "started")
            start_ns = started_ns - started_ns % NS
            spans: dict[int, list[Request]] = defaultdict(list)
            for each in of(facts.requests):
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
        return Between(ratio * (1 - 2 * BUCKET_WIDTH) - 100, ratio * (1 + 2 * BUCKET_WIDTH) - 100)
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
            "service p95": each.service_p95,
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


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Difference to the baseline", "A"): differences,
    ("Difference to the baseline", "B"): usage_differences,
    ("Figures", "A"): figures_of_runs,
    ("Users", "A"): overlay(lambda _, sampled: {"users": sampled("users")}),
    ("Requests per second", "A"): overlay(lambda figures, _: {"requests/s": figures.n / 10}),
    ("Mean", "A"): overlay(lambda figures, _: {"mean": figures.mean}),
    ("p95", "A"): overlay(lambda figures, _: figures.percentiles(95)),
    ("Service p95", "A"): overlay(lambda figures, _: {"service_p95": figures.percentile(95)}, by_service),
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
