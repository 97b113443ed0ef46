"""Runs of the stack: every request counted the same everywhere, while workers come, go and are killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support.compose_stack import GID, ROOT, SCALES, SLOW_S, UID
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.compose_stack import ComposeStack, Containers

USERS = 2000
REQUESTS = 10_000
WORKERS, REPLICAS = SCALES["locust-worker"], SCALES["target"]
WITHOUT_REBALANCING_S = 55
"""Without `enable-rebalancing` the users of a lost worker come back only after about 60 s."""
CALM = ("--objective", "p99<60s")
"""An objective so wide that the event loop of a worker may be 3 s late: a busy machine leaves the verdict alone."""
EVERY_SERVICE = {
    *("mlflow", "target", "balancer", "redis", "locust-master", "locust-worker", "collector", "usage", "influxdb")
}


def requests_in_archive(run: dict[str, Any]) -> int:
    """Stored requests of a run whose ledger balances."""
    ledger = run["ledgers"]["archive"]
    assert ledger["balances"], ledger
    stored: int = ledger["stored"]
    return stored


def influx_counts(stack: ComposeStack, run: str) -> int:
    """Raw requests of a run in InfluxDB."""
    rows = stack.influx(f'SELECT count("rt_ms") AS n FROM "request" WHERE "run" = \'{run}\'')
    return int(rows[0]["n"])


def failures_of(stack: ComposeStack, run: dict[str, Any]) -> str:
    """What failed, and what the balancer has to say."""
    return (stack.results / run["id"] / "failures.csv").read_text() + stack.logs("balancer", "target")


@dataclass(frozen=True, slots=True)
class CountedRun:
    """One run of two thousand users, and what every part of the stack said of it right after its end."""

    document: dict[str, Any]
    stored: int
    locust: dict[str, int]
    served: dict[str, int]
    influx_requests: int
    workers_in_influx: int
    usage: list[dict[str, Any]]
    balancer: list[dict[str, Any]]
    failures: str
    folder: Path


@pytest.fixture(scope="module")
def counted_run(shared_stack: ComposeStack, first_start: Containers) -> CountedRun:
    """The run that two tests look at; it is over, and all is read, before the first of them begins."""
    stack = shared_stack
    stack.settle()
    before = stack.predictions()
    stack.start_run(USERS, 150)
    stack.wait_for_requests(REQUESTS)
    run = stack.stop_run()
    where = f"WHERE \"run\" = '{run['id']}'"
    return CountedRun(
        document=run,
        stored=requests_in_archive(run),
        locust=stack.final_totals(run),
        served={name: count - before[name] for name, count in stack.predictions().items()},
        influx_requests=influx_counts(stack, run["id"]),
        workers_in_influx=len(stack.influx(f'SELECT last("users") FROM "worker" {where} GROUP BY *')),
        usage=stack.influx(f'SELECT last("cpu_cores"), * FROM "container" {where} GROUP BY "service", "container"'),
        balancer=stack.influx(f'SELECT sum("retries"), last("up") AS up FROM "balancer" {where}'),
        failures=failures_of(stack, run),
        folder=stack.results / run["id"],
    )


def test_two_thousand_users_are_counted_the_same_everywhere(counted_run: CountedRun):
    run, stored, served = counted_run.document, counted_run.stored, counted_run.served
    ledger = run["ledgers"]
    assert counted_run.locust == {"requests": stored, "failures": 0}, counted_run.failures
    assert (ledger["archive"]["dropped"], ledger["archive"]["unknown"]) == (0, 0)
    assert ledger["influx"] == {"stored": stored, "rejected": 0, "pending": 0}
    assert counted_run.influx_requests == stored
    assert sum(served.values()) == stored + run["aborted"]  # what was cut off at the end was served and not counted
    third = stored / REPLICAS
    assert all(0.8 * third <= count <= 1.2 * third for count in served.values()), served
    assert counted_run.workers_in_influx == WORKERS
    for file in counted_run.folder.glob("*.csv"):
        assert (file.stat().st_uid, file.stat().st_gid) == (UID, GID)
    assert len((counted_run.folder / "stats.csv").read_text().splitlines()) == 4


def test_usage_of_every_service_was_recorded_with_its_limits(counted_run: CountedRun):
    rows = counted_run.usage
    assert {row["service"] for row in rows} >= EVERY_SERVICE
    assert all(row["mem_bytes"] > 0 and row["mem_limit"] > row["mem_bytes"] for row in rows)
    targets = [row for row in rows if row["service"] == "target"]
    assert {row["container"] for row in targets} == {"target-1", "target-2", "target-3"}
    assert all(row["cpu_limit"] == 1 and row["throttled_pct"] is not None for row in targets)
    assert counted_run.balancer[0]["up"] == REPLICAS


def test_scaling_workers_and_losing_one_in_mid_run_fails_no_request_and_the_ledgers_balance(stack: ComposeStack):
    users = 400
    stack.start_run(users, 200)
    stack.up(locust_worker=4)
    stack.wait_for_workers()
    stack.wait_for_users(users)
    stack.up(locust_worker=8)
    stack.wait_for_workers()
    lost_before = losses(stack)
    stack.kill(stack.names("locust-worker")[0])
    wait_until(lambda: losses(stack) > lost_before, "the master misses the worker", timeout_s=120)
    missed_at = time.monotonic()
    stack.wait_for_users(users)
    moved_within_s = time.monotonic() - missed_at
    run = stack.stop_run()
    requests_in_archive(run)
    assert moved_within_s < WITHOUT_REBALANCING_S
    assert run["summary"]["run"]["total"]["failures"] == 0, failures_of(stack, run)
    kinds = (stack.results / run["id"] / "events.jsonl").read_text()
    assert kinds.count('"worker_lost"') >= 1
    assert kinds.count('"worker_joined"') >= 4


def test_replicas_that_come_and_go_in_mid_run_fail_no_request(stack: ComposeStack):
    stack.start_run(400, 200)
    for replicas in (1, REPLICAS):
        stack.up(target=replicas)
        stack.wait_for_predictions(100)
    run = stack.stop_run()
    assert requests_in_archive(run) > 0
    assert run["summary"]["run"]["total"]["failures"] == 0, failures_of(stack, run)


@pytest.mark.attack("any container of the stack is lost in mid-run", "no request fails, and none is lost")
def test_losing_any_part_in_mid_run_fails_and_loses_no_request(stack: ComposeStack):
    stack.start_run(400, 200)
    for service in ("target", "redis", "influxdb", "collector"):
        stack.lose(service)
        stack.wait_for_requests(300)
    run = stack.stop_run()
    stored = requests_in_archive(run)
    assert stack.final_totals(run) == {"requests": stored, "failures": 0}, failures_of(stack, run)
    assert (run["ledgers"]["archive"]["dropped"], run["ledgers"]["archive"]["unknown"]) == (0, 0)
    assert run["ledgers"]["influx"] == {"stored": stored, "rejected": 0, "pending": 0}
    assert influx_counts(stack, run["id"]) == stored


def losses(stack: ComposeStack) -> int:
    """Workers that the master has missed: a replacement may join before, so their number need not fall."""
    return stack.logs("locust-master", tail=10_000).count("failed to send heartbeat, setting state to missing")


def test_run_with_stack_passes_with_exit_code_0_when_every_objective_holds(stack: ComposeStack):
    done = drive(stack, "-u", "40", "-r", "40", "-t", "8s", "--objective", "failures<=0.1%", *CALM)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.archived(run_id(done))["verdict"] == "pass"


def test_run_with_stack_fails_with_exit_code_1_when_an_objective_does_not_hold(stack: ComposeStack):
    done = drive(stack, "-u", "40", "-r", "40", "-t", "6s", "--objective", "failures>=50%", *CALM)
    assert done.returncode == 1, done.stdout + done.stderr
    document = stack.archived(run_id(done))
    assert (document["verdict"], document["exit_code"]) == ("fail", 1)
    assert document["objectives"][0]["text"] == "failures>=50%"
    assert document["objectives"][0]["ok"] is False


def test_the_command_line_inside_the_stack_runs_and_lists(stack: ComposeStack):
    done = stack.compose("run", "--rm", "-T", "cli", "run", "-u", "20", "-r", "20", "-t", "5s", *CALM)
    assert done.returncode == 0, done.stdout + done.stderr
    run = run_id(done)
    assert run in stack.must("run", "--rm", "-T", "cli", "runs")
    assert (stack.results / run / "report.html").stat().st_uid == UID


def test_a_run_that_cannot_start_is_wrong_use(stack: ComposeStack):
    done = drive(stack, "-f", "mine.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SCENARIO" in done.stderr


def drive(stack: ComposeStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`loadstone run --stack` on this machine."""
    where = ["--stack", "--stack-url", stack.locust, "--results", str(stack.results)]
    command = [sys.executable, "-m", "loadstone", "run", *where, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SLOW_S, check=False)


def run_id(done: subprocess.CompletedProcess[str]) -> str:
    """The id of the run that `run --stack` announced."""
    found = re.search(r"run (\d{8}-\d{6}-\w{4}) in the stack", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return found[1]
