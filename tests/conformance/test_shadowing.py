"""Files beside the scenario or in the current folder that are named like a library: as with plain Locust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadstone.hook.inspect_scenario import PLUGIN_FILE
from support.loadstone_run import CALM
from support.plain_locust import LOCUST, TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun

pytestmark = pytest.mark.timeout(300)  # several processes, on a machine that may be busy

NAMES = (
    "redis",
    "numpy",
    "msgspec",
    "psutil",
    "json",
    "typing",
    "locust",
    "gevent",
    "asyncio",
    "statistics",
    "helpers",
)
SCENARIO = """
import importlib, json, os, sys
from locust import User, events, task

def look():
    return {name: getattr(importlib.import_module(name), "MINE", "not mine") for name in os.environ["NAMES"].split()}

early = look() if os.environ["WHEN"] == "early" else {}

@events.init.add_listener
def show(**_):
    found = early or look()
    path = [entry for entry in sys.path if not entry.endswith("__editable__")]
    print("SHOWN", json.dumps([found, path, sys.argv[0], sys.modules["__main__"].__name__]), flush=True)

class Nobody(User):
    @task
    def nothing(self):
        self.environment.runner.quit()
"""
LAUNCHED = (sys.executable, "-P", "-m", "loadstone.hook.run_locust")
STARTS = {
    "as loadstone starts it": (LAUNCHED, "{scenario},{plugin}"),
    "stock, plugin last": ((str(LOCUST),), "{scenario},{plugin}"),
    "stock, plugin first": ((str(LOCUST),), "{plugin},{scenario}"),
}


def shadow(folder: Path, *names: str) -> Path:
    """Write a module of each name into a folder, which says where it lies."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(f"MINE = {folder.name!r}\n")
    return folder


def shown(program: tuple[str, ...], files: str, cwd: Path, **variables: str) -> list[object]:
    """What the scenario sees in such a process."""
    environ = {**os.environ, "NAMES": " ".join(NAMES), "LOADSTONE_REDIS_URL": "", **variables}
    command = [*program, "-f", files, "--headless", "-t", "1s", "--exit-code-on-error", "0"]
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("SHOWN "))
    return list(json.loads(line.removeprefix("SHOWN ")))


@pytest.mark.conforms("modules beside the scenario or in the current folder that have the names of libraries", "equal")
@pytest.mark.parametrize(
    ("place", "when"),
    [("beside", "early"), ("current", "early"), ("current", "late"), ("both", "late"), ("named", "late")],
)
def test_a_scenario_imports_what_it_imports_with_plain_locust(tmp_path: Path, place: str, when: str):
    beside = shadow(tmp_path / "beside", *(NAMES if place in {"beside", "both"} else ()))
    current = shadow(tmp_path / "current", *(NAMES if place in {"current", "both"} else ()))
    named = shadow(tmp_path / "named", "redis", "numpy", "helpers") if place == "named" else tmp_path
    (tmp_path / "helpers.py").touch()
    scenario = beside / "scenario.py"
    scenario.write_text(SCENARIO)
    path = {"PYTHONPATH": os.pathsep.join((str(named), str(tmp_path))), "WHEN": when}
    plain = shown((str(LOCUST),), str(scenario), current, **path)
    mine = {value for value in dict(plain[0]).values() if value != "not mine"}  # type: ignore[call-overload]
    assert mine, "the table would show nothing"
    for start, (program, files) in STARTS.items():
        seen = shown(program, files.format(scenario=scenario, plugin=PLUGIN_FILE), current, **path)
        if "first" in start or "last" in start:  # Locust puts the current folder on the path once for each file
            seen[1] = list(dict.fromkeys(seen[1]))  # type: ignore[call-overload]
        assert seen == plain, start


@pytest.mark.conforms(
    "a run with such modules beside the scenario, in the current folder and in those of PYTHONPATH", "equal"
)
def test_a_whole_run_does_not_mind_them(
    new_run: Callable[..., LoadstoneRun],
    counting_server: CountingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    beside, current = shadow(tmp_path / "be side", *NAMES, "loadstone"), shadow(tmp_path / "current", *NAMES)
    scenario = beside / "a, b.py"
    scenario.write_text(
        "import atexit, redis, numpy\n"
        "from locust import FastHttpUser, constant, task\n"
        "assert (redis.MINE, numpy.MINE) == ('be side', 'be side')\n"
        "print('printed at import')\n"
        "atexit.register(print, '{}')\n"
        "class Web(FastHttpUser):\n"
        "    wait_time = constant(0.05)\n"
        "    @task\n"
        "    def page(self): self.client.get('/page')\n"
    )
    run = new_run(None, "-f", str(scenario), "--host", counting_server.url, "-u", "4", "-r", "10", "-t", "6s", *CALM)
    run.cwd = current
    monkeypatch.setenv("PYTHONPATH", str(shadow(tmp_path / "named", "redis", "numpy", "msgspec", "httpx")))
    assert run.start().finish(timeout_s=240) == 0, run.output
    assert run.rows() == run.run_json()["locust"]["requests"] == counting_server.count().total > 0
    assert not run.left_behind()
