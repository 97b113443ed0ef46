"""The machine of the workers has no CPU left, because something else uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)
LOAD = ("-u", "4", "-r", "20", "--warmup", "4s", "--steady-state", "10s", "--workers", "1")


@contextmanager
def burning_every_cpu() -> Iterator[None]:
    """Two processes for each CPU that compute for ever."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()


@pytest.mark.fault(
    "other programs use every CPU of the workers' host, the target is below its own limit, and a latency fails",
    verdict="inconclusive",
    shown="how busy the host was, and where the time was: target, balancer's queue, generator, if measured",
)
def test_a_latency_that_fails_on_a_full_host_is_not_blamed_on_a_target_with_room(new_run, start_counting_server):
    server = start_counting_server(latency_ms=100)
    target = ("--host", server.url, "--target-pid", str(server.pid))
    run = new_run("mixed", *target, *LOAD, "--objective", "p50<90ms", "--objective", "failures==0").start()
    run.wait_for(lambda: server.count().total > 0 or None, timeout_s=80)
    with burning_every_cpu():
        run.finish(timeout_s=170)
    found = run.run_json()
    assert (found["verdict"], found["exit_code"]) == ("inconclusive", 3), run.output
    (worker,) = found["worker_health"]
    assert worker["host_busy_pct"] + worker["host_stolen_pct"] > 95
    (reason,) = (each for each in found["reasons"] if "was out of CPU" in each)
    assert reason.startswith("the host of worker 0 was out of CPU (")
    assert "Where the time was: the target used 0." in reason
    assert "the generator's workers used at most" in reason
    assert "balancer" not in reason, "none was measured"
    assert reason in run.output
