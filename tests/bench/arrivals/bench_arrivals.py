"""The open model: how exactly arrivals are sent, what one costs, and what each model says of a server that stalls.

`make bench ARGS=tests/bench/arrivals` runs it and prints its tables. The server is one nginx process, or for stalls
tests/processes/runs/stalling_server.py; two workers, the collector and the server share the cores. Rounds that are
compared are interleaved; ratios are taken within a round, and the median of the ratios counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from loadstone.domain.arrival_rate import parse_stages
from loadstone.domain.arrivals import Epoch, Schedule, Spread
from support.loadstone_run import SCENARIOS, LoadstoneRun
from support.nginx_server import NginxServer
from support.processes import ServerProcess, free_port, port_answers
from support.servers import server_binary
from support.stall_picture import Panel, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATES: Final = (100, 1_000, 5_000)
SEED: Final = 7
SECONDS: Final = int(os.environ.get("LOADSTONE_BENCH_SECONDS", "60"))
ROUNDS: Final = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))
COST_RATES: Final = (1_000, 4_000)
COST_SECONDS, COST_WARMUP_S = 10, 5
CLOSED: Final = Path(__file__).with_name("closed.py")
STALLING: Final = SCENARIOS.parent / "stalling_server.py"
PERIOD_S, STALL_S, STALL_RATE = 10.0, 1.0, 200
TITLES: Final = {
    "open": f"Open model: {STALL_RATE} arrivals a second",
    "closed": f"Closed model: 20 users that send about {STALL_RATE // 20} requests a second each",
}
PERCENTS: Final = (50, 90, 95, 99)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxServer]:
    server = NginxServer(server_binary("nginx"), tmp_path / "nginx")
    try:
        yield server.start()
    finally:
        server.kill()


class Gaps(NamedTuple):
    """Gaps between arrivals against the exponential distribution of their rate: distance, and its 5 % limit."""

    distance: float
    limit: float


def recorded(folder: Path, scenario: Path, *arguments: str, **variables: str) -> LoadstoneRun:
    run = LoadstoneRun(folder, ("-f", str(scenario), *arguments, "--seed", str(SEED)), variables=variables)
    run.start().finish(SECONDS + 120)
    return run


def gaps(at_s: NDArray[np.float64], rate: float) -> Gaps:
    """The Kolmogorov-Smirnov distance of sorted gaps from 1 - exp(-rate t)."""
    expected = 1 - np.exp(-rate * np.sort(np.diff(np.sort(at_s))))
    n = len(expected)
    steps = np.arange(n + 1) / n
    return Gaps(float(max((expected - steps[:-1]).max(), (steps[1:] - expected).max())), 1.358 / n**0.5)


def arrivals_of(run: LoadstoneRun) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """When iterations of the window began and when they should have, in seconds, and on which workers."""
    table = pq.read_table(run.run_folder() / "requests.parquet", columns=["start", "late_us", "worker"]).to_pandas()
    table = table[table["late_us"].notna()]
    began_s = table["start"].astype("int64").to_numpy() / 1e9
    return began_s, began_s - table["late_us"].to_numpy() / 1e6, table["worker"].to_numpy()


def bench_sent_rate(nginx: NginxServer, tmp_path: Path):
    print(f"\n\nPoisson arrivals, {SECONDS} s, 2 workers, one quick request each\n")
    print("| rate | expected | planned | sent | sent / planned | lateness p50, p99, max ms | cores | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    told: list[str] = []
    for rate in RATES:
        load = ("--host", nginx.url, "--rate", f"{rate}/s", "-t", f"{SECONDS}s", "--workers", "2")
        run = recorded(tmp_path / str(rate), SCENARIOS / "arrives.py", *load)
        found = run.run_json()
        print(rate_line(rate, run, found))
        told += [f"{rate}/s: {reason}" for reason in found["reasons"]] + gap_lines(rate, run)
    print("\n" + "\n".join(told))


def rate_line(rate: int, run: LoadstoneRun, found: dict[str, Any]) -> str:
    arrivals = found["summary"]["window"]["arrivals"]
    began_s, due_s, _ = arrivals_of(run)
    late = f"{1000 * median(began_s - due_s):.2f}, {arrivals['lateness_p99_ms']:.2f}, {arrivals['lateness_max_ms']:.1f}"
    cores = sum(worker["cpu_pct"] for worker in found["worker_health"]) / 100
    counts = f"{arrivals['expected']:,.0f} | {arrivals['planned']:,} | {arrivals['sent']:,}"
    share = 100 * arrivals["sent"] / arrivals["planned"]
    return f"| {rate:,}/s | {counts} | {share:.3f} % | {late} | {cores:.2f} | {found['verdict']} |"


def gap_lines(rate: int, run: LoadstoneRun) -> list[str]:
    """Gaps of the schedule, computed again from its seed, and of what each worker began; how far both are apart."""
    began_s, due_s, workers = arrivals_of(run)
    scheduled = [stream(SEED, place, rate) for place in range(2)]
    begun = [began_s[workers == worker] for worker in np.unique(workers)]
    due = [np.sort(due_s[workers == worker]) for worker in np.unique(workers)]
    lines = []
    for what, each in (("as scheduled", scheduled), ("as begun", begun)):
        found = [*(gaps(at_s, rate / 2) for at_s in each), gaps(np.concatenate(each), rate)]
        shown = ", ".join(f"{gap.distance:.4f} (limit {gap.limit:.4f})" for gap in found)
        lines.append(f"{rate}/s: gaps {what}, distance from the exponential of each worker and of all: {shown}")
    for expected_s in scheduled:
        p50, p99, most = min(apart_us(at_s, expected_s) for at_s in due)
        lines.append(f"{rate}/s: {p50:.0f} us between intended start and schedule (p50; p99 {p99:.0f}, max {most:.0f})")
    return lines


def apart_us(at_s: NDArray[np.float64], expected_s: NDArray[np.float64]) -> tuple[float, float, float]:
    """How far recorded intended starts are from the schedule (p50, p99, max), but for when that began."""
    apart_s = at_s[: len(expected_s)] - expected_s[: len(at_s)]
    p50, p99, most = np.percentile(1e6 * np.abs(apart_s - np.median(apart_s)), (50, 99, 100))
    return float(p50), float(p99), float(most)


def stream(seed: int, place: int, rate: int) -> NDArray[np.float64]:
    """When one of two workers is to begin, in seconds, for as long as a run lasts."""
    times = Schedule(parse_stages([f"{rate}/s"]), Spread.POISSON, seed).arrivals(Epoch(0, 0.0, 2), place)
    return np.fromiter(takewhile(lambda at_s: at_s < SECONDS, times), np.float64)


def bench_gaps_of_many_seeds():
    """At the 5 % limit one stream in twenty is to be rejected: fewer or more would be wrong."""
    found = [gaps(stream(seed, place, 1_000), 500) for seed in range(150) for place in range(2)]
    rejected = sum(gap.distance > gap.limit for gap in found)
    print(f"\n\n{len(found)} streams of 150 seeds, each of {SECONDS} s at 500/s: {rejected} beyond the 5 % limit")


@pytest.mark.parametrize("rate", COST_RATES)
def bench_cpu_per_arrival(nginx: NginxServer, tmp_path: Path, rate: int):
    """CPU of the one worker in its window, as it measures itself, per request, when every connection is open."""
    runs_s = f"{COST_SECONDS + COST_WARMUP_S}s"
    load = ("--host", nginx.url, "-t", runs_s, "--warmup", f"{COST_WARMUP_S}s", "--workers", "1")
    users = str(rate // 10)
    arrives = (SCENARIOS / "arrives.py", ("--rate", f"{rate}/s"))
    as_many = (*arrives[1], "--max-users", users)
    runs: dict[str, tuple[Path, tuple[str, ...], dict[str, str]]] = {
        BASE: (CLOSED, ("-u", users, "-r", "1000"), {"BENCH_REST_S": "0.1"}),
        "open, Poisson, as many users": (arrives[0], as_many, {}),
        "open, constant, as many users": (arrives[0], (*as_many, "--arrivals", "constant"), {}),
        "open, Poisson, users for two seconds": (*arrives, {}),
        "closed, 20 users without a rest": (CLOSED, ("-u", "20", "-r", "500"), {}),
    }
    costs: dict[str, list[float]] = {name: [] for name in (*runs, *([VEGETA] if vegeta() else []))}
    for turn in range(ROUNDS):
        for at, (name, (scenario, model, variables)) in enumerate(runs.items()):
            found = recorded(tmp_path / f"{turn}-{at}", scenario, *load, *model, **variables).run_json()
            per_second = found["summary"]["window"]["total"]["rps"]
            costs[name].append(1e4 * found["worker_health"][0]["cpu_pct"] / per_second)
        if vegeta():
            costs[VEGETA].append(vegeta_cost(nginx.url, rate))
    base = costs[BASE]
    print(f"\n\n{rate:,} requests/s on one worker with everything recorded, {ROUNDS} interleaved rounds\n")
    print("| generator | us of CPU per request | x closed at the same rate |\n|---|---|---|")
    for name, mine in costs.items():
        ratios = [cost / closed for cost, closed in zip(mine, base, strict=True)]
        print(f"| {name} | {spread(mine, 1)} | {spread(ratios)} |")


BASE: Final = "closed, users that rest for 50 to 150 ms"
VEGETA: Final = "vegeta (Go), constant"


def vegeta() -> str | None:
    """The program, where there is one: on the path, or where LOADSTONE_BENCH_VEGETA says."""
    return os.environ.get("LOADSTONE_BENCH_VEGETA") or shutil.which("vegeta")


def vegeta_cost(url: str, rate: int) -> float:
    """CPU in us for each request of vegeta."""
    before = os.times()
    attack = [str(vegeta()), "attack", f"-rate={rate}/s", f"-duration={COST_SECONDS}s", "-output=/dev/null"]
    subprocess.run(attack, input=f"GET {url}/call\n", text=True, check=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return 1e6 * cpu_s / (rate * COST_SECONDS)


def spread(values: list[float], digits: int = 2) -> str:
    """Give the median and, in brackets, the smallest and the largest value."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def bench_a_server_that_stalls(tmp_path: Path):
    """One second in ten nobody is answered: what an independent computation, the open and the closed model say."""
    load = ("-t", f"{SECONDS}s", "--workers", "2")
    models = {
        "open": (SCENARIOS / "arrives.py", ("--rate", f"{STALL_RATE}/s", "--max-users", "1000"), {}),
        "closed": (CLOSED, ("-u", "20", "-r", "500"), {"BENCH_REST_S": str(20 / STALL_RATE)}),
    }
    panels: list[Panel] = []
    print(f"\n\n{STALL_S:g} s of {PERIOD_S:g} s nobody is answered, {STALL_RATE}/s, {SECONDS} s\n")
    print("| ms | p50 | p90 | p95 | p99 |\n|---|---|---|---|---|")
    for name, (scenario, model, variables) in models.items():
        port = free_port()
        command = [sys.executable, STALLING, str(port), str(PERIOD_S), str(STALL_S)]
        server = ServerProcess(command, log=tmp_path / f"{name}.log", ready=lambda at=port: port_answers(at)).start()
        try:
            host = ("--host", f"http://127.0.0.1:{port}")
            run = recorded(tmp_path / name, scenario, *host, *load, *model, **variables)
        finally:
            server.stop()
        print_stalls(name, run)
        panels.append(panel_of(name, run))
    if folder := os.environ.get("LOADSTONE_BENCH_PICTURES"):
        (Path(folder) / "stall.svg").write_text(picture(panels, seconds=8, most_ms=1000 * STALL_S))


def panel_of(name: str, run: LoadstoneRun) -> Panel:
    """The requests of a run by when they were to begin, from a second before its second stall on."""
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    start_s = table["start"].astype("int64").to_numpy() / 1e9
    late_us = table["late_us"].fillna(0).to_numpy() if "late_us" in table else 0
    found = run.run_json()
    below = f"{two_percentiles(found['summary']['window']['total'])}"
    if found["omission"]:
        below += f"; at their usual pace: {two_percentiles(found['omission'])}"
    begin_s = start_s.min() + PERIOD_S * 1.5 - STALL_S - 1
    return Panel(TITLES[name], below, start_s - late_us / 1e6 - begin_s, (table["rt_us"].to_numpy() + late_us) / 1000)


def two_percentiles(figures: dict[str, Any]) -> str:
    return f"p95 {figures['p95_ms']:,.0f} ms, p99 {figures['p99_ms']:,.0f} ms"


def print_stalls(name: str, run: LoadstoneRun) -> None:
    found = run.run_json()
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    first_s = table["start"].astype("int64").min() / 1e9
    span_s = np.linspace(found["window"]["start_ns"], found["window"]["end_ns"], 1_000_000) / 1e9
    at_s = arrivals_of(run)[1] if name == "open" else span_s
    left_s = PERIOD_S / 2 - (at_s - first_s) % PERIOD_S
    felt_ms = 1000 * np.where((left_s > 0) & (left_s <= STALL_S), left_s, 0)
    rows = {
        f"what callers of the {name} run feel": {f"p{p}_ms": np.percentile(felt_ms, p) for p in PERCENTS},
        f"{name} model": found["summary"]["window"]["total"],
    }
    if found["omission"]:
        rows["closed model, users kept their pace"] = found["omission"]
    for row, figures in rows.items():
        print(f"| {row} | " + " | ".join(f"{figures[f'p{p}_ms']:.1f}" for p in PERCENTS) + " |")
    for reason in (*found["reasons"], *(each for each in found["notices"] if "kept their pace" in each)):
        print(f"\n{reason}\n")
