"""The expected result of each query of the board Containers and capacity."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from support.boards import run_board
from support.boards.facts import NS
from support.boards.run_board import mean_of
from support.boards.runs_board import summaries
from support.boards.values import OneOf, optional

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

MIB: Final = 2**20


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
            "out of memory": sum(known(ticks, "oom")),
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


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("Requests per second per CPU core", "A"): per_core,
    ("Memory per user", "A"): per_user,
    ("Latency against requests per second", "A"): against_rate,
    ("Latency against users", "A"): against_users,
    ("First to reach the CPU limit", "A"): first_at_limit("cpu_pct"),
    ("First to reach the memory limit", "A"): first_at_limit("mem_pct"),
    ("Container usage", "A"): used,
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
