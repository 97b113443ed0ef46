"""Real Locust processes as loadstone starts them: held until they may go on, or until nobody can let them go."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import psutil

from loadstone.launch.python import RUN_LOCUST, python_module
from support.environ import without_settings
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """
import os, sys
from locust import User, task

print("LOADED", os.environ.get("LOADSTONE_TARGET"), sys.argv[1:], flush=True)

class Idle(User):
    @task
    def nothing(self):
        raise SystemExit
"""


def held(folder: Path) -> tuple[list[str], dict[str, str]]:
    """A command line with its environment."""
    (folder / "scenario.py").write_text(SCENARIO)
    hidden = {"LOADSTONE_LOCUST_ARGUMENTS": json.dumps(["--host", "http://127.0.0.1:1"])}
    environment = {**without_settings(), "LOADSTONE_HELD_UNTIL": str(folder / "go.json"), **hidden}
    return python_module(RUN_LOCUST, "-f", str(folder / "scenario.py"), "--headless", "-t", "1s"), environment


def waits(pid: int) -> bool:
    """Whether a process has imported the hook and does nothing any more."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    psutil.wait_procs([process], timeout=0.3)
    now = process.cpu_times()
    is_idle = now.user + now.system - before.user - before.system < 0.1
    return is_idle and any("geventhttpclient" in each.path for each in process.memory_maps())


def test_a_held_process_starts_locust_once_it_may_and_with_what_it_is_told_then(tmp_path: Path):
    command, environment = held(tmp_path)
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as locust:
        try:
            wait_until(lambda: waits(locust.pid), "it waits", timeout_s=60)
            assert "LOADED" not in (tmp_path / "log").read_text()
            (tmp_path / "go.new").write_text(json.dumps({"LOADSTONE_TARGET": '{"model": "a"}'}))
            (tmp_path / "go.new").rename(tmp_path / "go.json")
            locust.wait(60)
        finally:
            locust.kill()
    assert "LOADED {\"model\": \"a\"} ['--host', 'http://127.0.0.1:1', '-f'" in (tmp_path / "log").read_text()


def test_a_held_process_ends_with_the_one_that_started_it(tmp_path: Path):
    command, environment = held(tmp_path)
    starter = ["sh", "-c", f"{shlex.join(command)} 2>{tmp_path}/log & echo $!; exec sleep 600"]
    with subprocess.Popen(starter, env=environment, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        locust = psutil.Process(int(shell.stdout.readline()))
        try:
            wait_until(lambda: waits(locust.pid), "it waits", timeout_s=60)
            shell.kill()
            assert psutil.wait_procs([locust], timeout=30)[1] == []
        finally:
            if locust.is_running():
                locust.kill()
    assert "has ended" in (tmp_path / "log").read_text()
