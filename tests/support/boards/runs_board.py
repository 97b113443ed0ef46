"""The expected result of each query of the board Runs, and the summary of a run that several boards show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from support.boards.facts import MS, NS, FiguresOfWindow, by_service
from support.boards.run_board import epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.facts import Facts
    from support.boards.values import Near, Rows
    from support.boards.view import View

__all__ = ["EXPECTED", "Summary", "summaries"]


class Summary:
    """What a run came to in its window, from its single requests; usage from its ticks."""

    def __init__(self, facts: Facts) -> None:
        document = facts.document
        self.document, self.id = document, facts.id
        self.start_ms, self.end_ms = epoch_ms(document["started_at"]), epoch_ms(document["ended_at"])
        start_ns, end_ns = document["window"]["start_ns"], document["window"]["end_ns"]
        answered = [each for each in facts.requests if _in_window(each.end_ns, start_ns, end_ns)]
        self.figures = FiguresOfWindow(answered, facts.in_flight_ms(start_ns, end_ns))
        self._by_service = FiguresOfWindow(by_service(answered), facts.in_flight_ms(start_ns, end_ns, by_service))
        self.arrivals: dict[str, int] = document["summary"]["window"].get("arrivals") or {}
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
    def service_p95(self) -> Near | None:
        """None under the closed model."""
        return self._by_service.percentile(95)

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
            "service p95": each.service_p95,
            "not sent": each.arrivals.get("not_sent"),
            "CPU limit": each.usage.get("cpu_limit"),
            "memory limit": each.usage.get("mem_limit"),
            "duration": (each.end_ms - each.start_ms) / 1000,
            "target": each.document["host"],
            **each.range,
        }
        for each in summaries(view)
    ]


def by_run(columns: Callable[[Summary], dict[str, Any]]) -> Callable[[View], Rows]:
    return lambda view: [{"time": each.time, **columns(each)} for each in summaries(view)]


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Runs", "A"): lambda view: [{"runs": n}] if (n := len(summaries(view))) else [],
    ("All runs", "A"): all_runs,
    ("Latency by run", "A"): by_run(lambda run: {"mean": run.figures.mean, **run.figures.percentiles(50, 95, 99)}),
    ("Latency by run", "B"): lambda view: [
        {"time": each.time, "service p95": each.service_p95} for each in summaries(view) if each.service_p95
    ],
    ("Requests per second by run", "A"): by_run(lambda run: {"requests/s": run.rps, "users": run.users_peak}),
    ("Failed requests by run", "A"): by_run(lambda run: {"failed": run.figures.failed_pct}),
    ("CPU of the target by run", "A"): lambda view: [
        {"time": each.time, "mean": each.usage["cpu_cores"], "highest": each.usage["cpu_cores_max"]}
        for each in summaries(view)
        if each.usage
    ],
}
