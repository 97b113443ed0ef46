"""What a lean request costs, beside Locust's own classes and other generators: `make bench` runs and prints it.

The server is one nginx process on core 0, the generators run one after the other on core 1. Rounds are interleaved, so
that a machine that slows down slows everyone; ratios are taken within a round. The median of the ratios is what counts.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from support.contenders import BODY, Cost, aiolocust, autocannon, generate, hey, python_class, wrk
from support.nginx_server import NginxServer
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER_CORE, GENERATOR_CORE = 0, 1
ROUNDS = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))
BASE = "FastHttpUser"
MANY_USERS = (1_000, 5_000, 10_000)
THINK_S = ("1", "3")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxServer]:
    if (os.cpu_count() or 1) <= GENERATOR_CORE:
        pytest.skip("server and generator need a core each")
    server = NginxServer(server_binary("nginx"), tmp_path / "nginx", core=SERVER_CORE)
    try:
        yield server.start()
    finally:
        server.kill()


def optional(name: str) -> Path | None:
    """Give a program that is nice to compare with: on the path, or where LOADSTONE_BENCH_<NAME> says."""
    found = os.environ.get(f"LOADSTONE_BENCH_{name.upper()}") or shutil.which(name)
    return Path(found) if found else None


def contenders(folder: Path) -> dict[str, Callable[[str, int], Cost]]:
    made = {
        "HttpUser": python_class("HttpUser"),
        BASE: python_class(BASE),
        "LeanHttpUser": python_class("LeanHttpUser"),
        "LeanHttpUser, prepared": python_class("LeanHttpUser", "--prepared"),
        "wrk (C)": wrk(server_binary("wrk"), folder),
    }
    if binary := optional("hey"):
        made["hey (Go)"] = hey(binary)
    if binary := optional("autocannon"):
        made["autocannon (Node)"] = autocannon(binary)
    if binary := optional("aiolocust"):
        made["aiolocust"] = aiolocust(binary, folder)
    return made


def spread(values: list[float], digits: int = 2) -> str:
    """Give the median and, in brackets, the smallest and the largest value."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def bench_requests_per_cpu_second(nginx: NginxServer, tmp_path: Path):
    assert len(BODY) == 100
    runs = contenders(tmp_path)
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            costs[name].append(run(nginx.url, GENERATOR_CORE))
    print(f"\n\nPOST of 100 bytes, keep-alive, 50 users, no think time, {ROUNDS} interleaved rounds\n")
    print(f"| generator | requests per CPU second | us per request | x {BASE} |\n|---|---|---|---|")
    for name, mine in costs.items():
        ratios = [cost.per_cpu_s / base.per_cpu_s for cost, base in zip(mine, costs[BASE], strict=True)]
        each_us = [1e6 / cost.per_cpu_s for cost in mine]
        print(f"| {name} | {median(c.per_cpu_s for c in mine):,.0f} | {spread(each_us, 1)} | {spread(ratios)} |")


def bench_many_users(nginx: NginxServer):
    print(f"\n\n{THINK_S[0]} to {THINK_S[1]} s think time, one process, 10 s after a settled ramp\n")
    print("| users | class | MB | before | KB per user | requests/s | cores | failures | mean ms | new connections |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for users in MANY_USERS:
        for name, fix in (("LeanHttpUser", ()), (BASE, ()), (BASE, ("--fix",)), ("HttpUser", ())):
            options = ("--recorder", *fix, "--wait", *THINK_S)
            run = generate(name, nginx.url, *options, core=GENERATOR_CORE, seconds=10, users=users)
            print_many(users, f"{name}{', fixed' if fix else ''}", run)


def print_many(users: int, name: str, run: dict[str, Any]) -> None:
    each_kb = (run["rss_mb"] - run["base_mb"]) * 1000 / users
    cores = run["cpu_s"] / run["wall_s"]
    print(
        f"| {users:,} | {name} | {run['rss_mb']:.0f} | {run['base_mb']:.0f} | {each_kb:.1f} | {run['rps']:,} | "
        f"{cores:.2f} | {run['failures']} | {run['mean_ms']:.1f} | {run['new_connections']} |"
    )
