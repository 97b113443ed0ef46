"""Whole runs: options of a scenario and settings of Locust reach each process, and run.json says what really ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.loadstone_run import CALM

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """import json, os
from locust import HttpUser, constant, events, tag, task

@events.init_command_line_parser.add_listener
def declare(parser):
    for option in ("--page", "--seed", "--workers", "--model", "--registry"):
        parser.add_argument(option, default="default")

@events.test_start.add_listener
def tell(environment, **_):
    options = environment.parsed_options
    role = "worker" if options.worker else "master" if options.master else "plain"
    names = ("page", "seed", "workers", "model", "registry", "tags", "num_users", "spawn_rate")
    known = {name: getattr(options, name) for name in names}
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps({"role": role, "host": environment.host, **known}) + "\\n")

class Buyer(HttpUser):
    wait_time = constant(0.2)

    @tag("wanted")
    @task
    def look(self):
        self.client.get(self.environment.parsed_options.page)

    @task
    def never(self):
        self.client.get("/never")
"""
CONF = "users = 3\nspawn-rate = 10\nrun-time = 8s\ntags = [wanted]\npage = /from-file\nheadless = true\ncsv = out\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "locustfile.py").write_text(SCENARIO)
    return tmp_path


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


def test_options_that_loadstone_has_too_reach_the_scenario_in_every_process(new_run, counting_server, folder: Path):
    given = {"page": "/chosen", "seed": "four", "workers": "many", "model": "gpt", "registry": "here"}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    run = new_run(
        *(None, "--host", counting_server.url, "-u", "2", "-r", "10", "-t", "3s", *CALM),
        *(*words, "--loadstone-workers", "2", "--loadstone-seed", "5", "--tags", "wanted", "Buyer"),
    )
    run.cwd, run.variables = folder, {"TOLD": str(folder / "told")}
    assert run.run() == 0, run.output
    found = told(folder)
    assert sorted(each["role"] for each in found) == ["master", "worker", "worker"]
    for each in found:
        assert {name: each[name] for name in given} == given
    assert set(counting_server.count().requests) == {"GET /chosen"}
    assert (run.run_json()["seed"], run.run_json()["requests"]) == (5, counting_server.count().total)
    assert "the scenario declares --seed, so it gets it; loadstone's own is --loadstone-seed" in run.output


@pytest.mark.conforms(
    "settings in locust.conf and in LOCUST_ variables, and a locustfile.py that nothing names", "equal"
)
def test_settings_that_locust_reads_by_itself_hold_as_with_plain_locust(new_run, counting_server, folder: Path):
    (folder / "locust.conf").write_text(CONF)
    variables = {"LOCUST_HOST": counting_server.url, "LOCUST_USERS": "2", "TOLD": str(folder / "told")}
    locust = [sys.executable, "-m", "locust"]
    environ = {**os.environ, **variables}
    subprocess.run(locust, cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
    plain_csv = (folder / "out_stats.csv").read_text().splitlines()[0]
    (folder / "out_stats.csv").unlink()
    (plain,) = told(folder)
    plain_requests = counting_server.count().requests
    counting_server.reset()
    (folder / "told").unlink()

    run = new_run(None, *CALM, "--loadstone-workers", "2")
    run.cwd, run.variables = folder, variables
    assert run.run() == 0, run.output
    for each in told(folder):
        names = ("page", "seed", "tags", "host") if each["role"] == "master" else ("page", "seed", "tags")
        assert {name: each[name] for name in names} == {name: plain[name] for name in names}
    master = next(each for each in told(folder) if each["role"] == "master")
    assert (master["num_users"], master["spawn_rate"]) == (plain["num_users"], plain["spawn_rate"]) == (2, 10)
    assert set(counting_server.count().requests) == set(plain_requests) == {"GET /from-file"}
    found = run.run_json()
    assert (found["users"], found["spawn_rate"], found["run_time_s"]) == (2, 10.0, 8.0)
    assert found["requests"] == counting_server.count().total
    assert (folder / "out_stats.csv").read_text().splitlines()[0] == plain_csv


def test_without_a_scenario_a_host_that_is_not_the_demo_target_is_refused(new_run, counting_server, tmp_path: Path):
    run = new_run(None, "--host", counting_server.url)
    run.cwd = tmp_path
    assert run.run() == 2
    assert "the demo scenario needs a target that describes its model" in run.output
    assert "-f FILE" in run.output
