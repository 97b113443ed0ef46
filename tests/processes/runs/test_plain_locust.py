"""The hook beside a scenario in plain ``locust``: it records as well, and without a stream it stays out of the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from loadstone.stream.keys import DEAD_LETTERS
from support.loadstone_run import REPOSITORY, SCENARIOS, run_records
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

HOOK = REPOSITORY / "src" / "loadstone" / "hook" / "plugin" / "loadstone_hook.py"


def locust(
    host: str, *arguments: str, scenario: str = "mixed", redis_url: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    files = f"{HOOK},{SCENARIOS / f'{scenario}.py'}"
    return subprocess.run(
        [sys.executable, "-m", "locust", "-f", files, "--headless", "--host", host, "-u", "4", "-r", "10", *arguments],
        env={**os.environ, "LOADSTONE_REDIS_URL": redis_url, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def recorded(host: str, redis_url: str, results: Path, scenario: str = "mixed", **settings: str) -> dict[str, Any]:
    """The record of a run of plain ``locust``: for four seconds, or as long as an arrival shape goes on."""
    collector = subprocess.Popen(
        [sys.executable, "-m", "loadstone", "collector", "--redis-url", redis_url, "--results", str(results)]
    )
    try:
        length = ("-t", "4s") if scenario == "mixed" else ("-u", "200", "-r", "500")
        done = locust(host, *length, "--stop-timeout", "5", scenario=scenario, redis_url=redis_url, **settings)
        wait_until(lambda: bool(run_records(results)), "the run is closed", timeout_s=30)
    finally:
        collector.send_signal(signal.SIGTERM)
        assert collector.wait(20) == 0
    assert done.returncode == 0, done.stderr
    (run,) = run_records(results)
    return run


def test_a_plain_locust_process_is_recorded_like_a_distributed_run(counting_server, valkey, tmp_path: Path):
    run = recorded(counting_server.url, valkey.url, tmp_path)
    assert not valkey.client().exists(DEAD_LETTERS), "nothing of an ordinary run is refused"
    received = counting_server.count().total
    assert received > 50
    assert run["requests"] == run["locust"]["requests"] == received
    assert pq.read_metadata(next(tmp_path.glob("*/requests.parquet"))).num_rows == received


def test_arrivals_come_to_a_plain_locust_process_too(counting_server, valkey, tmp_path: Path):
    run = recorded(counting_server.url, valkey.url, tmp_path, LOADSTONE_RATE="50/s", LOADSTONE_ARRIVALS="constant")
    arrivals = run["summary"]["run"]["arrivals"]
    assert arrivals["sent"] == counting_server.count().total > 100
    assert arrivals["sent"] == pytest.approx(50 * run["window"]["seconds"], abs=10)


def test_an_arrival_shape_gives_a_plain_locust_process_its_rate_and_its_end(counting_server, valkey, tmp_path: Path):
    run = recorded(counting_server.url, valkey.url, tmp_path, "surging", LOADSTONE_ARRIVALS="constant")
    assert run["rate"] == ["40/s over 2s", "120/s..80/s over 4s"]
    assert run["summary"]["run"]["arrivals"]["sent"] == counting_server.count().total == pytest.approx(480, abs=5)


def test_an_arrival_shape_that_cannot_be_used_ends_a_plain_locust_process_with_the_reason(counting_server, valkey):
    done = locust(counting_server.url, scenario="broken_rate", redis_url=valkey.url)
    assert done.returncode == 2, done.stderr
    assert "the arrival shape Listed raises IndexError: tuple index out of range at 2 s" in done.stderr
    assert counting_server.count().total == 0


def test_without_a_stream_the_hook_warns_once_and_the_test_runs_as_ever(counting_server):
    done = locust(counting_server.url, "-t", "2s")
    assert done.returncode == 0, done.stderr
    assert counting_server.count().total > 10
    assert done.stderr.count("LOADSTONE_REDIS_URL is not set") == 1


def test_a_hook_with_a_wrong_setting_ends_its_process_with_cause_and_cure(counting_server):
    done = locust(counting_server.url, "-t", "2s", LOADSTONE_LIVE_URL="http://::1:1234/")
    assert done.returncode == 2, done.stderr
    assert "LOADSTONE_LIVE_URL is 'http://::1:1234/', it must be http://HOST[:PORT]" in done.stderr
    assert "Traceback" not in done.stderr
    assert counting_server.count().total == 0


def test_a_hook_that_cannot_begin_a_run_lets_none_go_on_unrecorded(counting_server):
    done = locust(counting_server.url, "-t", "20s", redis_url="redis://127.0.0.1:1/0?db=none")
    assert done.returncode == 4, done.stderr
    assert "recording=failed" in done.stderr
    assert counting_server.count().total == 0
