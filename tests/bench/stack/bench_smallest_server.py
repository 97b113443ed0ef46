"""The smallest server for 10,000 users: `loadstone capacity` in the stack, with the compiled and the naive target.

It prints the answer and every trial of both studies. For 10,000 users the naive target would need 25 cores or more,
so it is asked for 120, and for 1 % of failures: at their 10 requests/s, 0.1 % would need ten minutes a trial. Without
an engine, CI=true installs one.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.compose_stack import ROOT, ComposeStack

if TYPE_CHECKING:
    from support.docker_engine import DockerEngine

PACED = Path(__file__).with_name("pace.py")
CORES = Path(__file__).with_name("cores.yaml")
P95 = ("--objective", "p95<1s", "--objective")
"""A worker may lag by 5 % of it (p99). On two cores it lags by 30 ms, because the target may use both."""
LENGTHS = ("--measure", "20s", "--warmup", "10s")
WORKERS = 2
"""Enough for 830 requests/s; more of them would only take turns on the machine's two cores."""
SEEDS_COLUMNS = (
    *("users", "failures_pct", "mean_ms", "max_ms", "memory_limit_mib", "cpu_limit_cores", "replicas", "remark"),
    *("p95_ms", "requests_per_s", "peak_memory_mib", "cpu_used_cores", "throttled_pct"),
)
STUDY_S = 3 * 3600


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A mode of the target, for how many users, and what may be tried."""

    mode: str
    users: int
    spawn_rate: str
    """Users of one burst would ask together every 12 s: a ramp lasts at least nearly as long."""
    failures: str
    axes: tuple[str, ...]
    budget: str


@pytest.mark.parametrize(
    "asked",
    [
        Asked(
            mode="compiled",
            users=10_000,
            spawn_rate="400",
            failures="failures<=0.1%",
            axes=("--cpu", "0.1,0.2,0.3,0.4,0.6", "--memory", "128m,192m,256m,384m", "--replicas", "1,3"),
            budget="25m",
        ),
        Asked(
            mode="naive",
            users=120,
            spawn_rate="12",
            failures="failures<=1%",
            axes=("--cpu", "0.2,0.3,0.4,0.5,0.6", "--memory", "384m,512m,768m", "--replicas", "1,3"),
            budget="30m",
        ),
    ],
    ids=lambda asked: asked.mode,
)
def bench_smallest_server(engine: DockerEngine, tmp_path: Path, asked: Asked) -> None:
    """Ask, and print what came out."""
    modes = {
        "TARGET_CPUS": "1",
        "TARGET_MEMORY": "1g",
        "TARGET_MODE": asked.mode,
        "TARGET_REQUIREMENTS": "serve" if asked.mode == "compiled" else "target",
    }
    cores = {"GENERATOR_CORES": "0", "OTHER_CORES": f"1-{(os.cpu_count() or 2) - 1}"}
    stack = ComposeStack(engine, tmp_path, scenario=PACED, files=(CORES,), **cores, **modes)
    # A balancer needs two files for each connection: where the machine allows too few, two share the load.
    enough = int(stack.settings["BALANCER_MAXCONN"]) > asked.users
    with stack.brought_up(target=1, balancer=1 if enough else 2, locust_worker=WORKERS):
        done = study(stack, asked)
    assert done in {0, 1, 3}, "it ended by itself, whatever the answer"


def study(stack: ComposeStack, asked: Asked) -> int:
    """The study, shown while it goes on, and its trials; the exit code."""
    where = ("--stack-url", stack.locust, "--results", str(stack.results))
    load = ("-u", str(asked.users), "-r", asked.spawn_rate)
    words = (*load, *LENGTHS, *P95, asked.failures, *asked.axes, "--budget", asked.budget, *where)
    print(f"\n{asked.mode}:", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "loadstone", "capacity", *words],
        cwd=ROOT,
        env={**stack.engine.environment, "COMPOSE_PROJECT_NAME": stack.project, "COLUMNS": "160"},
        timeout=STUDY_S,
        check=False,
    )
    (file,) = (stack.results / "studies").glob("*/trials.csv")
    print_trials(file)
    return done.returncode


def print_trials(file: Path) -> None:
    """The trials as a Markdown table, in the columns of people who tune limits by hand."""
    print(f"| {' | '.join(SEEDS_COLUMNS)} |\n|{'---|' * len(SEEDS_COLUMNS)}")
    with file.open() as opened:
        for row in csv.DictReader(opened):
            print(f"| {' | '.join(row[name] for name in SEEDS_COLUMNS)} |")
