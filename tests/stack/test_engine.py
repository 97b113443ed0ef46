"""What real Docker and Compose do, where the code rests on it: kills as events, and the form of settings files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadstone.compose.settings_file import problems_of_stack_file, values_of_stack_file
from loadstone.settings import StackSettings, describe
from loadstone.usage.docker_engine import DockerEngine
from loadstone.usage.oom_kills import OomKills
from support.compose_stack import ROOT
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.compose_stack import ComposeStack

PROJECT = "loadstone-kills"
KILLS = 5
RESTARTED = [f"restarted{number}" for number in range(8)]
"""Of so many that end and start at once, the engine of a busy machine does not tell every kill."""
TOO_MUCH = "x = bytearray(64 << 20); x[::4096] = b'x' * len(x[::4096])"
KILLED_INSIDE = f"""
import subprocess, sys, time
for _ in range({KILLS}):
    subprocess.run([sys.executable, "-c", {TOO_MUCH!r}])
time.sleep(600)
"""


@pytest.fixture
def door(shared_stack: ComposeStack) -> Path:
    """The socket that the service `engine` hands out."""
    volume = shared_stack.engine.must("volume", "inspect", f"{shared_stack.project}_engine", "-f", "{{.Mountpoint}}")
    return Path(volume.strip()) / "docker.sock"


@pytest.fixture
def kills(shared_stack: ComposeStack, door: Path) -> Iterator[OomKills]:
    """Kills of the containers that `run_container` starts, which are removed in the end."""
    found = OomKills(door, PROJECT)
    wait_until(lambda: found.listens, "the door leads to the engine's events")
    yield found
    found.close()
    names = [f"{PROJECT}-{name}-1" for name in ("inside", "accident", *RESTARTED)]
    shared_stack.engine.docker("rm", "-f", *names)


def run_container(stack: ComposeStack, service: str, program: str, *options: str) -> None:
    """A container with 24 MB, as compose names and labels it."""
    labels = {"project": PROJECT, "service": service, "container-number": "1"}
    labelled = [part for key, text in labels.items() for part in ("--label", f"com.docker.compose.{key}={text}")]
    limits = ["--memory", "24m", "--memory-swap", "24m", "--network", "none"]
    image = f"{stack.settings['LOADSTONE_IMAGES']}/collector:0.1.0"
    name = ["--name", f"{PROJECT}-{service}-1", "--entrypoint", "python"]
    stack.engine.must("run", "-d", *name, *labelled, *limits, *options, image, "-c", program)


@pytest.mark.attack(
    "real containers run out of memory: restarted by their policy, or in a child", "each kill is counted"
)
def test_every_kill_for_lack_of_memory_is_counted_and_no_other(shared_stack: ComposeStack, kills: OomKills):
    run_container(shared_stack, "accident", "import time; time.sleep(600)")
    shared_stack.kill(f"{PROJECT}-accident-1")
    ended_s = time.monotonic() + 3
    while time.monotonic() < ended_s:
        assert not kills.take(), "nobody has lacked memory yet"
        time.sleep(0.5)
    run_container(shared_stack, "inside", KILLED_INSIDE)
    for service in RESTARTED:
        run_container(shared_stack, service, TOO_MUCH, "--restart", f"on-failure:{KILLS - 1}")
    expected = {(service, f"{service}-1"): KILLS for service in ("inside", *RESTARTED)}
    found = kills.take()

    def all_counted() -> bool:
        found.update(kills.take())
        return sum(found.values()) >= sum(expected.values())

    wait_until(all_counted, "all kills are counted", timeout_s=120)
    time.sleep(3)
    assert found + kills.take() == expected


def test_readings_come_through_the_door_with_the_engines_own_time(shared_stack: ComposeStack, door: Path):
    begun_ns = time.time_ns()
    readings = {each.container: each for each in DockerEngine(door, shared_stack.project).read()}
    ended_ns = time.time_ns()
    assert {"target-1", "redis-1", "engine-1", "mlflow-1"} <= set(readings)
    assert all(each.mem_limit for each in readings.values())
    assert all(begun_ns <= each.at_ns <= ended_ns for each in readings.values())


FORMS = """
# a comment
TARGET_MODE=naive # with a comment behind it
export LOCUST_USERS=7
LIVE_PORT: 9001
TARGET_MEMORY='700m'
WORKER_MEMORY="800m" # in quotes
REDIS_CONTAINER_MEMORY=${WORKER_MEMORY}
INFLUX_MEMORY=${NOT_SET_ANYWHERE:-900m}
MODEL_URI="models:/a b@c"
TARGET_URL=
SCENARIO=$UNKNOWN_NAME
"""


def test_settings_files_are_read_as_compose_reads_them(shared_stack: ComposeStack, tmp_path: Path):
    file = tmp_path / "forms.env"
    file.write_text(FORMS)
    command = ["compose", "--project-directory", str(ROOT), "--env-file", str(file)]
    shown = shared_stack.engine.must(*command, "-f", str(ROOT / "docker-compose.yaml"), "config", "--format", "json")
    compose = json.loads(shown)["services"]["init"]["environment"]
    values = values_of_stack_file(FORMS, [], {})
    ours = {each.env: values.get(each.env) or each.default for each in describe(StackSettings)}
    assert {name: compose[name] for name in ours if name != "RESULTS_FOLDER"} == {
        name: value for name, value in ours.items() if name != "RESULTS_FOLDER"
    }


@pytest.mark.parametrize("line", ["TARGET_CPUS=lots", "TARGET_MEMORY=much", "RESULTS_FOLDER=results", "LIVE_PORT=x"])
def test_what_compose_refuses_was_said_before(shared_stack: ComposeStack, tmp_path: Path, line: str):
    file = tmp_path / "wrong.env"
    file.write_text(f"{line}\n")
    command = ["compose", "--project-directory", str(ROOT), "--env-file", str(file)]
    done = shared_stack.engine.docker(*command, "-f", str(ROOT / "docker-compose.yaml"), "config", "--quiet")
    assert done.returncode != 0
    name = line.partition("=")[0]
    assert any(problem.startswith(f"{name} is ") for problem in problems_of_stack_file(file, ROOT))


def test_a_limit_that_docker_refuses_was_said_before(shared_stack: ComposeStack, tmp_path: Path):
    (tmp_path / "wrong.env").write_text("WORKER_MEMORY=5m\n")
    image = f"{shared_stack.settings['LOADSTONE_IMAGES']}/collector:0.1.0"
    done = shared_stack.engine.docker("create", "--memory", "5m", image)
    assert (done.returncode != 0, "inimum memory limit" in done.stderr) == (True, True)
    problems = problems_of_stack_file(tmp_path / "wrong.env", ROOT)
    assert any(problem.startswith("WORKER_MEMORY is '5m'") for problem in problems)
