"""How fast every panel of every board answers on a data base that holds a run of ten million requests.

Each query that is no drill-down is asked several times over, and beside it the same figures from raw points, in one
sitting. ``LOADSTONE_BENCH_REQUESTS`` makes the run smaller.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.influx.backfill import write_run
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.settings import InfluxSettings, load
from support.closed_runs import MadeRun
from support.grafana_queries import ALL, BOARDS, Shown, expand, queries, variable_values
from support.influx_server import InfluxServer
from support.run_maker import SECOND, START
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.grafana_queries import BoardQuery

REQUESTS = int(os.environ.get("LOADSTONE_BENCH_REQUESTS", "10000000"))
SECONDS = 1200
TIMES = 7
TIMES_RAW = 3
TARGET_MS = 300
NAMES = (("GET", "/"), ("GET", "/item"), ("POST", "/predict"), ("POST", "/basket"), ("GET", "/search"))
ALIGNED_MS = 4_102_444_800_000

RAW = {
    ("run", "Users and requests per second", "A"): 'count("rt_ms")',
    ("run", "Latency", "A"): 'mean("rt_ms"), percentile("rt_ms", 50), percentile("rt_ms", 95), percentile("rt_ms", 99)',
    ("run", "Requests", "A"): 'count("rt_ms")',
    ("run", "Mean", "A"): 'mean("rt_ms")',
    ("run", "Run p95", "A"): 'percentile("rt_ms", 95)',
    ("run", "Requests by name", "A"): 'count("rt_ms"), mean("rt_ms"), max("rt_ms")',
    (
        "endpoint",
        "Percentiles by name",
        "A",
    ): 'percentile("rt_ms", 50), percentile("rt_ms", 95), percentile("rt_ms", 99)',
}
"""What the same figures are computed from when there are raw points only."""
GROUPED = {"Users and requests per second": "time(1s)", "Latency": "time(1s)", "Requests by name": '"name"'}
GROUPED |= {"Percentiles by name": 'time(1s), "name"'}


@dataclass(frozen=True, slots=True)
class Base:
    """The data base with its one run."""

    influx: InfluxServer
    run: str
    shown: Shown


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("dashboards")
    influx = InfluxServer(server_binary("influxd"), server_binary("nginx"), folder / "influxdb").start()
    try:
        begun = time.perf_counter()
        made = MadeRun(seconds=SECONDS, rate=REQUESTS // SECONDS, names=NAMES, users=500)
        run = made.close(folder / "results")
        closed = time.perf_counter()
        sink = InfluxClient(load(InfluxSettings, {"influx_url": influx.url}), now_s=time.time)
        ledger = write_run(RunFolder(run.path), Delivery(sink, time.sleep, refused_pause_s=30))
        sink.close()
        assert ledger.stored == SECONDS * (REQUESTS // SECONDS)
        print(f"\n{ledger['stored']:,} requests: archived in {closed - begun:.0f} s, ", end="")
        print(f"written to InfluxDB in {time.perf_counter() - closed:.0f} s")
        yield Base(influx, run.run, shown_for(run.run))
    finally:
        influx.kill()


def shown_for(run: str) -> Shown:
    start_ms = START * 1000 // SECOND
    variables = {
        "run": run,
        "baseline": run,
        "runs": (run,),
        "name": ALL,
        "service": ALL,
        "res": "1",
        "objective": "500",
        "study": "",
        "replicas": "1",
    }
    return Shown(from_ms=start_ms - 10_000, to_ms=start_ms + SECONDS * 1000 + 5_000, variables=variables)


def milliseconds(base: Base, text: str, times: int) -> list[float]:
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        base.influx.query(text)
        found.append(1000 * (time.perf_counter() - begun))
    return found


def expanded(base: Base, query: BoardQuery) -> str:
    shown = base.shown
    if query.board == "loadstone-compare":
        hidden = {}
        for each in queries(query.board):
            if each.owner.startswith("variable base_"):
                values = variable_values(base.influx.query(expand(each, shown)), each.text)
                hidden[each.owner.removeprefix("variable ")] = values[0] if values else ""
        aligned = {**shown.variables, **hidden}
        shown = Shown(from_ms=ALIGNED_MS, to_ms=ALIGNED_MS + 1_800_000, variables=aligned)
    return expand(query, shown)


def raw_query(base: Base, query: BoardQuery) -> str:
    bounds = f"time >= {base.shown.from_ms}ms AND time <= {base.shown.to_ms}ms"
    grouped = f" GROUP BY {GROUPED[query.owner]}" if query.owner in GROUPED else ""
    return f'SELECT {RAW[query.key]} FROM "request" WHERE "run" = \'{base.run}\' AND {bounds}{grouped}'


def is_drill_down(query: BoardQuery) -> bool:
    return '"request"' in query.text


def bench_panels(base: Base):
    """The medians of all panels, and beside some of them the same figures from raw points."""
    print(f"\n{'board':10} {'panel':52} {'median':>9} {'lowest':>9} {'highest':>9} {'from raw':>10} {'ratio':>7}")
    slow = []
    for query in (query for path in sorted(BOARDS.glob("*.json")) for query in queries(path.stem)):
        taken = milliseconds(base, expanded(base, query), TIMES)
        median = statistics.median(taken)
        label = f"{query.owner} {query.ref}" + (" (drill-down)" if is_drill_down(query) else "")
        line = f"{query.key[0]:10} {label[:52]:52} {median:6.1f} ms {min(taken):6.1f} ms {max(taken):6.1f} ms"
        if query.key in RAW:
            raw = statistics.median(milliseconds(base, raw_query(base, query), TIMES_RAW))
            line += f" {raw:7.0f} ms {raw / median:6.0f}x"
        print(line, flush=True)
        if median > TARGET_MS and not is_drill_down(query):
            slow.append(query.key)
    print(f"over {TARGET_MS} ms: {slow or 'none'}")
