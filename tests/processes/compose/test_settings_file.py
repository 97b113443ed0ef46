"""A stack's settings file is checked before anything is touched, and every problem is told at once."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadstone.cli.main import main
from loadstone.compose.settings_file import problems_of_stack_file, values_of_stack_file
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a stack with a scenario, on a machine with an engine."""
    monkeypatch.chdir(tmp_path)  # sockets have short paths
    (tmp_path / "locust-worker").mkdir()
    (tmp_path / "locust-worker" / "locustfile.py").write_text("")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind("s")
        yield tmp_path


def problems(folder: Path, *lines: str, cpus: int = 4) -> list[str]:
    """What is said of a file with these lines."""
    file = folder / "my.env"
    file.write_text("\n".join(["DOCKER_SOCKET=./s", *lines, ""]))
    return problems_of_stack_file(file, folder, cpus=cpus)


def test_the_file_that_is_shipped_has_no_problem_but_those_of_the_machine():
    found = problems_of_stack_file(ROOT / "env", ROOT)
    assert [problem for problem in found if not problem.startswith("DOCKER_SOCKET")] == []


REFUSED_LATER = {
    "TARGET_CPUS=lots": "TARGET_CPUS is 'lots', it must be a number of cores of at least 0.01",
    "TARGET_CPUS=0.001": "TARGET_CPUS is '0.001', it must be a number of cores of at least 0.01",
    "TARGET_CPUS=.5": "TARGET_CPUS is '.5', it must be a number",
    "TARGET_CPUS=1e3": "TARGET_CPUS is '1e3', it must be a number",
    "TARGET_CPUS=5": "TARGET_CPUS is 5, but this machine has 4 cores",
    "WORKER_MEMORY=9": "WORKER_MEMORY is '9', it must be an amount of memory such as 512m",
    "WORKER_MEMORY=5m": "WORKER_MEMORY is '5m', it must be an amount of memory of at least 6m, Docker's minimum",
    "TARGET_MEMORY=512 mb": "TARGET_MEMORY is '512 mb', it must be an amount of memory",
    "INFLUX_MEMORY=0.001g": "INFLUX_MEMORY is '0.001g', it must be an amount of memory of at least 6m",
    "REDIS_MEMORY=0.5g": "REDIS_MEMORY is '0.5g', it must be a whole amount of memory",
    "REDIS_MEMORY=2gb": "REDIS_CONTAINER_MEMORY is 1g, it must be above REDIS_MEMORY, 2gb",
    "INFLUX_RETENTION=59m": "INFLUX_RETENTION is '59m', it must be a duration from 1h to 36500d",
    "INFLUX_RETENTION=3d 5": "INFLUX_RETENTION is '3d 5', it must be a duration from 1h to 36500d",
    "LIVE_PORT=8089": "port 8089 is taken twice, by LOCUST_PORT and LIVE_PORT",
    "LIVE_PORT=0": "LIVE_PORT is '0', it must be a whole number from 1 to 65535",
    "RESULTS_FOLDER=results": "RESULTS_FOLDER is 'results', it must be a path that begins with ./",
    "RESULTS_FOLDER=./a:b": "RESULTS_FOLDER is './a:b', it must be a path",
    "RESULTS_FOLDER=./my.env": "RESULTS_FOLDER is ./my.env, but ",
    "SCENARIO_FOLDER=./nowhere": "SCENARIO_FOLDER is ./nowhere, but there is no folder ",
    "SCENARIO=other.py": "SCENARIO is other.py, but there is no file ",
    "DOCKER_SOCKET=./my.env": "DOCKER_SOCKET is ./my.env, but no socket is there",
    "LOADSTONE_IMAGES=Mine": "LOADSTONE_IMAGES is 'Mine', it must be the name of an image in lower case",
    "LOADSTONE_TAG=a b": "LOADSTONE_TAG is 'a b', it must be a tag",
    "BIND_ADDRESS=203.0.113.7": "BIND_ADDRESS is 203.0.113.7, which is no address of this machine",
    "OPEN_FILES=99999999999": "OPEN_FILES is 99999999999, but this machine allows ",
    'MODEL_URI=models:/a"b@c': "MODEL_URI is 'models:/a\"b@c', it must be models:/NAME@ALIAS",
    "BALANCER_TARGET=target": "BALANCER_TARGET is 'target', it must be HOST:PORT",
    "MLFLOW_ARTIFACTS=/data": "MLFLOW_ARTIFACTS is '/data', it must be s3://BUCKET, or a folder in /mlflow",
    "COMPOSE_PROJECT_NAME=Mine": "COMPOSE_PROJECT_NAME is 'Mine', it must be lower-case letters",
    "GRAFANA_PRT=3001": "GRAFANA_PRT is not known, did you mean GRAFANA_PORT?",
    "locust_users=5": "locust_users is not known, did you mean LOCUST_USERS?",
    "FISH=5": "FISH is not known, `env` has every setting",
    "DOCKER_GID=998": "DOCKER_GID is no setting any more",
    "TARGET_CPUS 2": "line 2 is 'TARGET_CPUS 2', it must be NAME=VALUE",
    "TARGET_MODE='auto": 'line 2 is "TARGET_MODE=\'auto", it must be NAME=VALUE, with quotes in pairs',
}


@pytest.mark.parametrize(("line", "said"), REFUSED_LATER.items(), ids=REFUSED_LATER)
def test_what_docker_compose_or_a_service_would_refuse_later_is_said(folder: Path, line: str, said: str):
    if line.startswith("DOCKER_SOCKET"):
        (folder / "my.env").write_text(line)
        (problem,) = problems_of_stack_file(folder / "my.env", folder)
    else:
        (problem,) = problems(folder, line)
    assert problem.startswith(said)


def test_every_problem_is_told_at_once_and_the_exit_code_is_2(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "my.env").write_text("DOCKER_SOCKET=./s\nTARGET_CPUS=lots\nWORKER_MEMORY=9\nFISH=1\n")
    assert main(["setup", "check", "my.env"]) == 2
    said = capsys.readouterr().err
    for word in ("TARGET_CPUS is 'lots'", "WORKER_MEMORY is '9'", "FISH is not known"):
        assert word in said


def test_a_file_without_a_problem_is_said_to_be_valid(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "my.env").write_text("DOCKER_SOCKET=./s\nTARGET_CPUS=0.5\n")
    assert main(["setup", "check", "my.env"]) == 0
    assert capsys.readouterr().out == "my.env: every setting is valid\n"


VALID = [
    "TARGET_CPUS=2",
    "TARGET_URL=",
    "export LIVE_PORT=9000",
    "LIVE_PORT: 9000",
    "COMPOSE_PROFILES=s3",
    "# FISH=1",
    "",
]


@pytest.mark.parametrize("line", VALID)
def test_what_compose_accepts_is_no_problem(folder: Path, line: str):
    assert problems(folder, line) == []


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain # a comment", "plain"),
        ("A=with#hash", "with#hash"),
        ("A='single $HOME # kept'", "single $HOME # kept"),
        ('A="double # kept" # dropped', "double # kept"),
        ("A=${B}-${C:-other}-$B", "b-other-b"),
        ("A=$$HOME", "$HOME"),
        ("A=", ""),
    ],
)
def test_values_are_read_as_compose_reads_them(line: str, value: str):
    found: list[str] = []
    assert values_of_stack_file(f"B=b\n{line}", found, {})["A"] == value
    assert found == []


def test_a_variable_of_the_environment_overrides_the_file_as_it_does_for_compose(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TARGET_MEMORY", "lots")
    assert problems(folder, "TARGET_MEMORY=1g") == [
        "TARGET_MEMORY is 'lots', it must be an amount of memory such as 512m or 2g"
    ]


def test_a_scenario_that_master_and_workers_cannot_read_is_said_with_the_cure(folder: Path):
    scenario = folder / "locust-worker" / "locustfile.py"
    scenario.chmod(0o600)
    assert problems(folder) == [
        f"SCENARIO is locustfile.py, which master and workers cannot read: `chmod o+r {scenario}`"
    ]
    scenario.parent.chmod(0o700)
    assert problems(folder)[0].endswith(f"cannot open: `chmod o+rx {scenario.parent}`")


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match=r"my\.env cannot be read"):
        problems_of_stack_file(tmp_path / "my.env", tmp_path)
