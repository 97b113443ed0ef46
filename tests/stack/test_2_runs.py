"""Runs of the stack: every request counted the same everywhere, while workers come, go and are killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from support.compose_stack import GID, ROOT, UID, ask
from support.processes import wait_until

if TYPE_CHECKING:
    from support.compose_stack import ComposeStack

USERS = 2000
WORKERS, REPLICAS = 8, 3
EVERY_SERVICE = {
    *("mlflow", "target", "balancer", "redis", "locust-master", "locust-worker", "collector", "usage", "influxdb")
}


def locust_totals(stack: ComposeStack) -> dict[str, int]:
    """Requests and failures as Locust counts them."""
    (total,) = [row for row in ask(f"{stack.locust}/stats/requests")["stats"] if row["name"] == "Aggregated"]
    return {"requests": total["num_requests"], "failures": total["num_failures"]}


def steady(stack: ComposeStack, users: int) -> None:
    """Wait until all users run."""
    wait_until(lambda: stack.steering()["users"] == users, f"{users} users run", timeout_s=60)


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


def test_two_thousand_users_are_counted_the_same_everywhere(stack: ComposeStack):
    before = stack.predictions()
    stack.start_run(USERS, 150)
    steady(stack, USERS)
    time.sleep(15)
    run = stack.stop_run()
    ledger, locust = run["ledgers"], locust_totals(stack)
    served = {name: count - before[name] for name, count in stack.predictions().items()}
    stored = requests_in_archive(run)
    assert locust == {"requests": stored, "failures": 0}, failures_of(stack, run)
    assert (ledger["archive"]["dropped"], ledger["archive"]["unknown"]) == (0, 0)
    assert ledger["influx"] == {"stored": stored, "rejected": 0, "pending": 0}
    assert influx_counts(stack, run["id"]) == stored
    assert sum(served.values()) == stored + run["aborted"]  # what was cut off at the end was served and not counted
    third = stored / REPLICAS
    assert all(0.8 * third <= count <= 1.2 * third for count in served.values()), served
    assert len(stack.influx(f'SELECT last("users") FROM "worker" WHERE "run" = \'{run["id"]}\' GROUP BY *')) == WORKERS
    folder = stack.results / run["id"]
    for file in folder.glob("*.csv"):
        assert (file.stat().st_uid, file.stat().st_gid) == (UID, GID)
    assert len((folder / "stats.csv").read_text().splitlines()) == 4


def test_usage_of_every_service_was_recorded_with_its_limits(stack: ComposeStack):
    newest = max(folder.name for folder in stack.results.iterdir())
    rows = stack.influx(
        f'SELECT last("cpu_cores"), * FROM "container" WHERE "run" = \'{newest}\' GROUP BY "service", "container"'
    )
    assert {row["service"] for row in rows} >= EVERY_SERVICE
    assert all(row["mem_bytes"] > 0 and row["mem_limit"] > row["mem_bytes"] for row in rows)
    targets = [row for row in rows if row["service"] == "target"]
    assert {row["container"] for row in targets} == {"target-1", "target-2", "target-3"}
    assert all(row["cpu_limit"] == 1 and row["throttled_pct"] is not None for row in targets)
    balancer = stack.influx(f'SELECT sum("retries"), last("up") AS up FROM "balancer" WHERE "run" = \'{newest}\'')
    assert balancer[0]["up"] == REPLICAS


def test_scaling_workers_and_losing_one_in_mid_run_fails_no_request_and_the_ledgers_balance(stack: ComposeStack):
    users = 400
    stack.start_run(users, 200)
    steady(stack, users)
    stack.up(locust_worker=4)
    wait_until(lambda: stack.steering()["workers"] == 4, "four workers are left", timeout_s=60)
    steady(stack, users)
    stack.up(locust_worker=8)
    wait_until(lambda: stack.steering()["workers"] == 8, "eight workers are there", timeout_s=60)
    lost_before = losses(stack)
    victim = stack.names("locust-worker")[0]
    stack.kill(victim)
    killed_at = time.monotonic()
    wait_until(lambda: losses(stack) > lost_before, "the master misses the worker", timeout_s=30)
    steady(stack, users)
    moved_within_s = time.monotonic() - killed_at
    run = stack.stop_run()
    requests_in_archive(run)
    assert moved_within_s < 10
    assert run["summary"]["run"]["total"]["failures"] == 0, failures_of(stack, run)
    kinds = (stack.results / run["id"] / "events.jsonl").read_text()
    assert kinds.count('"worker_lost"') >= 1
    assert kinds.count('"worker_joined"') >= 4


def test_replicas_that_come_and_go_in_mid_run_fail_no_request(stack: ComposeStack):
    users = 400
    stack.start_run(users, 200)
    steady(stack, users)
    for replicas in (1, REPLICAS):
        stack.up(target=replicas)
        time.sleep(4)
    run = stack.stop_run()
    assert requests_in_archive(run) > 0
    assert run["summary"]["run"]["total"]["failures"] == 0, failures_of(stack, run)


def test_losing_any_part_in_mid_run_fails_and_loses_no_request(stack: ComposeStack):
    users = 400
    stack.start_run(users, 200)
    steady(stack, users)
    for service in ("target", "redis", "influxdb", "collector"):
        stack.lose(service)
        time.sleep(3)
    run = stack.stop_run()
    stored = requests_in_archive(run)
    assert locust_totals(stack) == {"requests": stored, "failures": 0}, failures_of(stack, run)
    assert (run["ledgers"]["archive"]["dropped"], run["ledgers"]["archive"]["unknown"]) == (0, 0)
    assert run["ledgers"]["influx"] == {"stored": stored, "rejected": 0, "pending": 0}
    assert influx_counts(stack, run["id"]) == stored


def losses(stack: ComposeStack) -> int:
    """Workers that the master has missed: a replacement may join before, so their number need not fall."""
    return stack.logs("locust-master", tail=10_000).count("failed to send heartbeat, setting state to missing")


def test_run_with_stack_gives_the_verdict_and_the_exit_code(stack: ComposeStack):
    passed = drive(stack, "-u", "40", "-r", "40", "-t", "8s", "--objective", "failures<=0.1%")
    assert passed.returncode in {0, 3}, passed.stdout + passed.stderr  # a busy machine's lag is inconclusive
    failed = drive(stack, "-u", "40", "-r", "40", "-t", "6s", "--objective", "p50<0.001ms")
    assert failed.returncode in {1, 3}, failed.stdout + failed.stderr
    run = re.search(r"run (\d{8}-\d{6}-\w{4}) in the stack", failed.stdout)
    assert run is not None
    document = stack.archived(run[1])
    assert document["exit_code"] == failed.returncode
    assert document["objectives"][0]["text"] == "p50<0.001ms"
    assert document["objectives"][0]["ok"] is False


def test_the_command_line_inside_the_stack_runs_and_lists(stack: ComposeStack):
    done = stack.compose("run", "--rm", "-T", "cli", "run", "-u", "20", "-r", "20", "-t", "5s")
    assert done.returncode in {0, 3}, done.stdout + done.stderr
    run = re.search(r"run (\d{8}-\d{6}-\w{4}) in the stack", done.stdout)
    assert run is not None
    assert run[1] in stack.must("run", "--rm", "-T", "cli", "runs")
    assert (stack.results / run[1] / "report.html").stat().st_uid == UID


def test_a_run_that_cannot_start_is_wrong_use(stack: ComposeStack):
    done = drive(stack, "-f", "mine.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SCENARIO" in done.stderr


def drive(stack: ComposeStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`loadstone run --stack` on this machine."""
    where = ["--stack", "--stack-url", stack.locust, "--results", str(stack.results)]
    command = [sys.executable, "-m", "loadstone", "run", *where, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
