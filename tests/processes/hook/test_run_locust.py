"""Real Locust processes as loadstone starts them: held until they may go on, and quick to see their workers."""

from __future__ import annotations

import json
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from loadstone.hook import run_locust
from loadstone.launch.python import RUN_LOCUST, python_module
from support.environ import without_settings
from support.processes import wait_until

SCENARIO = """
import os, sys
from locust import User, task

print("LATE", os.environ.get("LOADSTONE_TARGET"), sys.argv[1:], flush=True)

class Idle(User):
    @task
    def nothing(self):
        raise SystemExit
"""


def test_a_held_process_starts_locust_once_it_may_and_with_what_it_is_told_then(tmp_path: Path):
    scenario, held_until = tmp_path / "scenario.py", tmp_path / "go.json"
    scenario.write_text(SCENARIO)
    command = python_module(RUN_LOCUST, "-f", str(scenario), "--headless", "-t", "1s")
    environment = {**without_settings(), "LOADSTONE_HELD_UNTIL": str(held_until)}
    hidden = {"LOADSTONE_LOCUST_ARGUMENTS": json.dumps(["--host", "http://127.0.0.1:1"])}
    with (tmp_path / "log").open("w+") as log:
        with subprocess.Popen(command, env={**environment, **hidden}, stdout=log, stderr=log) as locust:
            try:
                wait_until(lambda: _has_imported_locust(locust.pid), "Locust is imported", timeout_s=60)
                time.sleep(0.3)
                assert "LATE" not in (tmp_path / "log").read_text()
                held_until.write_text(json.dumps({"LOADSTONE_TARGET": '{"model": "a"}'}))
                assert locust.wait(60) is not None
            finally:
                locust.kill()
        said = (tmp_path / "log").read_text()
    assert "LATE {\"model\": \"a\"} ['--host', 'http://127.0.0.1:1', '-f'" in said


def _has_imported_locust(pid: int) -> bool:
    """Whether the process has gevent's library loaded, which Locust needs."""
    return "gevent" in Path(f"/proc/{pid}/maps").read_text()


def test_a_master_looks_often_for_its_workers_at_first_and_then_as_locust_does(monkeypatch: pytest.MonkeyPatch):
    slept, now = [], [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    eager = run_locust._EagerTime()
    while now[0] < 106:
        eager.sleep(1)
    assert set(slept) == {0.01, 1}
    assert sum(seconds for seconds in slept if seconds < 1) == pytest.approx(4, abs=0.02)
    assert all(one <= other for one, other in pairwise(slept))
    assert eager.monotonic() == now[0], "all else is the module's own"
