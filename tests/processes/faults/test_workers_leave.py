"""Workers that nobody records, that are told to end, or that end by themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun

BUSY = ("-u", "8", "-r", "50", *CALM)
QUITS = """
import gevent
from locust import HttpUser, constant_throughput, task

sent = 0

class Caller(HttpUser):
    wait_time = constant_throughput(20)

    @task
    def get(self):
        global sent
        self.client.get("/called")
        sent += 1
        if self.environment.runner.worker_index == 0 and sent == 60:
            gevent.spawn(self.environment.runner.quit)
"""


def received(server: CountingServer, more: int):
    """A condition: the server has received so many requests since now."""
    since = server.count().total
    return lambda: server.count().total > since + more or None


@pytest.fixture
def foreign_worker() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended after the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def start_stock_worker(port: str) -> subprocess.Popen[bytes]:
    """Start Locust's own worker with the same scenario and nothing of loadstone."""
    argv = ["locust", "-f", str(SCENARIOS / "mixed.py"), "--worker", "--master-host", "127.0.0.1"]
    return subprocess.Popen([sys.executable, "-m", *argv, "--master-port", port], stdin=subprocess.DEVNULL)


def master_port(run: LoadstoneRun) -> str:
    argv = run.part("locust", "--master ").cmdline()
    return argv[argv.index("--master-bind-port") + 1]


@pytest.mark.fault(
    "a stock Locust worker without the recorder joins and takes half of the users",
    verdict="inconclusive",
    shown="the worker took part in the run without recording it",
)
def test_a_stock_worker_that_joins_is_a_doubt(new_run, counting_server, foreign_worker):
    ramp = ("-u", "8", "-r", "0.5", *CALM)  # a worker that joins later than that gets no user of Locust
    run = new_run("mixed", "--host", counting_server.url, *ramp, "-t", "25s", "--workers", "1").start()
    foreign_worker.append(start_stock_worker(master_port(run)))
    assert run.finish(120) == 3, run.output
    found, total = run.run_json(), counting_server.count().total
    assert found["verdict"] == "inconclusive"
    assert any("took part in the run without recording it" in reason for reason in found["reasons"]), found["reasons"]
    assert run.rows() < found["locust"]["requests"] <= total


@pytest.mark.fault(
    "SIGTERM to a worker while its requests are in flight, and they may not finish",
    verdict="pass",
    shown="each of its requests is recorded or counted as cut off, and a note says that the worker has left",
)
def test_requests_in_flight_of_a_worker_that_is_told_to_end_are_accounted_for(new_run, counting_server):
    load = ("--host", counting_server.url, "-u", "8", "-r", "50", *CALM, "-t", "30s", "--workers", "2")
    run = new_run("slow", *load, "--stop-timeout", "0").start()
    run.wait_for(received(counting_server, 20), timeout_s=100)
    run.part("locust", "--worker ").send_signal(signal.SIGTERM)
    assert run.finish(120) == 0, run.output
    found, total = run.run_json(), counting_server.count().total
    ledger = found["ledgers"]["archive"]
    assert (ledger["unknown"], found["lost_workers"]) == (0, [])
    assert all(boot["final"] for boot in found["boots"])
    assert len(found["boots"]) == 2
    assert any(boot["aborted"] for boot in found["boots"])
    assert run.rows() == found["locust"]["requests"]
    assert run.rows() < total <= run.rows() + found["aborted"]
    assert any("has left before the end" in notice for notice in found["notices"]), found["notices"]


@pytest.mark.fault(
    "a worker ends by itself, because a task calls `runner.quit()`",
    verdict="pass",
    shown="all of its requests are recorded, and a note says that it has left",
)
def test_a_worker_that_ends_by_itself_loses_nothing(new_run, counting_server, tmp_path: Path):
    file = tmp_path / "quits.py"
    file.write_text(QUITS)
    load = ("--host", counting_server.url, *BUSY, "-t", "20s", "--workers", "2")
    run = new_run(None, "-f", str(file), *load)
    assert run.start().finish(120) == 0, run.output
    found, total = run.run_json(), counting_server.count().total
    assert run.rows() == found["requests"] == found["locust"]["requests"] == total
    assert found["ledgers"]["archive"]["unknown"] == 0
    assert (found["lost_workers"], [boot["final"] for boot in found["boots"]]) == ([], [True, True])
    assert "worker 0 has left before the end; all requests until then are recorded" in found["notices"]
