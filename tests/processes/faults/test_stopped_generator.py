"""The load generator itself stands still during a run: what it measured then is not blamed on the target."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun

pytestmark = pytest.mark.timeout(240)
STOPPED_S = 4.0
LOAD = ("-u", "4", "-r", "20", "--steady-state", "14s", "--workers", "2")
WIDE = "p99<120s"
"""Loops may be 6 s late: a busy machine does not change the verdict, and neither does one stop of 4 s by itself."""


@pytest.fixture
def slow_server(start_counting_server: Callable[..., CountingServer]) -> CountingServer:
    """A target that takes 150 ms, so a request is in flight nearly always."""
    return start_counting_server(latency_ms=150)


def stand_still(processes: list[psutil.Process]) -> None:
    """Stop these processes for four seconds."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(STOPPED_S)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def ran_with(run: LoadstoneRun, fault: Callable[[], None], server: CountingServer) -> dict[str, Any]:
    """Start the run, let the fault happen in its window, and give its run.json."""
    run.start()
    run.wait_for(lambda: server.count().total > 40 or None, timeout_s=80)
    time.sleep(3)
    fault()
    run.finish(timeout_s=170)
    return run.run_json()


def seconds(text: str) -> float:
    """Of the day, of a time such as 19:45:01 UTC."""
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest[:2])


@pytest.mark.fault(
    "a worker is stopped for 4 s (SIGSTOP), and only the requests in flight meanwhile miss the limit",
    verdict="inconclusive",
    shown="how long the worker's event loop stood still, when, and which objectives could have held without that",
)
def test_a_latency_that_only_the_stop_of_a_worker_made_is_not_blamed_on_the_target(new_run, slow_server):
    run = new_run("mixed", "--host", slow_server.url, *LOAD, "--objective", "max<3s", "--objective", WIDE)
    begun = time.time()
    found = ran_with(run, lambda: stand_still([run.part("--worker ")]), slow_server)
    assert (found["verdict"], found["exit_code"]) == ("inconclusive", 3), run.output
    (reason,) = (each for each in found["reasons"] if "could have held" in each)
    assert reason.endswith("without that, max<3s could have held")
    assert reason in " ".join(run.output.split())
    (worker,) = (each for each in found["worker_health"] if each["longest_stall_ms"] > 3000)
    assert worker["longest_stall_ms"] == pytest.approx(STOPPED_S * 1000, abs=900)
    assert "event loop stood still" in reason
    stalled_at = seconds(worker["longest_stall_at"][11:19])
    assert 0 <= stalled_at - (begun % 86_400) <= 90
    assert found["requests"] == slow_server.count().total


@pytest.mark.fault(
    "every process of the run is stopped for 4 s (SIGSTOP), as when a virtual machine is paused",
    verdict="inconclusive",
    shown="that every worker and the master stood still together, for how long, and until when",
)
def test_a_pause_of_the_whole_run_is_seen_although_every_objective_holds(new_run, slow_server):
    run = new_run("mixed", "--host", slow_server.url, *LOAD, "--objective", WIDE)

    def pause() -> None:
        assert run.process is not None
        root = psutil.Process(run.process.pid)
        stand_still([root, *root.children(recursive=True)])

    found = ran_with(run, pause, slow_server)
    assert (found["verdict"], found["exit_code"]) == ("inconclusive", 3), run.output
    assert found["objectives"][0]["ok"] is True
    together = [each for each in found["reasons"] if "stood still together" in each]
    assert len(together) == 1, found["reasons"]
    reason = together[0]
    assert reason.startswith("every worker, the master")
    assert reason in " ".join(run.output.split())
    assert found["requests"] == slow_server.count().total


def test_a_run_whose_generator_keeps_running_is_not_doubted(new_run, slow_server):
    run = new_run("mixed", "--host", slow_server.url, *LOAD, "--objective", WIDE)
    found = ran_with(run, lambda: None, slow_server)
    assert (found["verdict"], found["exit_code"]) == ("pass", 0), run.output
