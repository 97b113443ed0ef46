"""`loadstone influx study`, and the points that a study writes while it goes on.

The double stands for InfluxDB 2.9.1, which cannot be had here, in the words that a real one gave.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

import loadstone
from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.cli import influx
from loadstone.cli.main import main
from loadstone.cli.publishing import publisher
from loadstone.domain.time import parse_iso_ns
from loadstone.errors import ExitCode
from loadstone.settings import CapacitySettings, load
from support.docker_double import DockerDouble
from support.faulty_influx import FaultyInflux, not_found, unauthorized, unavailable
from support.processes import free_port
from support.studies import SETTINGS_STUDY, settings_study

SOURCES = Path(loadstone.__file__).parents[1]
ALL = 1 + len(SETTINGS_STUDY.trials)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    StudyFolder(tmp_path / STUDIES / SETTINGS_STUDY.id).write(SETTINGS_STUDY)
    return tmp_path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influx, "_REFUSED_PAUSE_S", 0.01)
    monkeypatch.setattr(influx, "_PATIENCE_S", 1.0)


def command(results: Path, url: str, study: str = "latest") -> int:
    return main(["influx", "study", study, "--results", str(results), "--influx-url", url])


def test_a_study_that_is_written_twice_has_each_point_once(
    results: Path, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    assert command(results, faulty_influx.url) == ExitCode.PASS
    once = faulty_influx.points
    assert command(results, faulty_influx.url, SETTINGS_STUDY.id[:6]) == ExitCode.PASS
    assert faulty_influx.points == once
    assert len(once) == ALL
    assert f"study {SETTINGS_STUDY.id}: {ALL} of {ALL} points stored" in capsys.readouterr().out


@pytest.mark.attack("wrong token, bucket or address", "a study is not written after three tries, with cause and cure")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(not_found(), "Correct --influx-org and --influx-bucket", id="404"),
        pytest.param(unauthorized(), "Correct the token in the file", id="401"),
    ],
)
def test_a_study_that_is_refused_gives_up_with_a_sentence(
    results: Path, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str], answer, said: str
):
    faulty_influx.queue(*[answer] * 20)
    assert command(results, faulty_influx.url) == ExitCode.USAGE
    assert len(faulty_influx.requests) == 3
    told = capsys.readouterr().err
    assert "refuses the study: HTTP" in told
    assert said in told


@pytest.mark.usefixtures("impatient")
def test_an_influxdb_that_is_away_is_exit_code_4(results: Path, capsys: pytest.CaptureFixture[str]):
    assert command(results, f"http://127.0.0.1:{free_port()}") == ExitCode.PLATFORM
    assert "has written nothing for 1 s" in capsys.readouterr().err


@pytest.mark.attack("points beyond retention", "exit code 1 with cause, cure and count")
def test_trials_beyond_the_retention_are_counted(
    results: Path, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    faulty_influx.kept_since_ns = parse_iso_ns(SETTINGS_STUDY.started_at) + 10**15
    assert command(results, faulty_influx.url) == ExitCode.FAIL
    captured = capsys.readouterr()
    assert f"0 of {ALL} points stored" in captured.out
    assert "and run this again" in captured.err


def test_a_study_that_is_not_there_and_an_influxdb_that_is_not_named_are_exit_code_2(
    results: Path, faulty_influx: FaultyInflux, capsys: pytest.CaptureFixture[str]
):
    assert command(results, faulty_influx.url, "nothing") == ExitCode.USAGE
    assert main(["influx", "study", "latest", "--results", str(results)]) == ExitCode.USAGE
    assert "Name it with --influx-url" in capsys.readouterr().err
    assert not faulty_influx.requests


def settings(results: Path, url: str | None) -> CapacitySettings:
    return load(CapacitySettings, {"influx_url": url, "results": str(results)}, environ={})


def test_a_study_that_goes_on_writes_each_new_point_once(tmp_path: Path, faulty_influx: FaultyInflux):
    notes: list[str] = []
    publish = publisher(settings(tmp_path, faulty_influx.url), notes.append)
    trials = SETTINGS_STUDY.trials
    for count in range(len(trials) + 1):
        publish(settings_study(trials=trials[:count], answer=None))
    publish(SETTINGS_STUDY)
    publish(SETTINGS_STUDY)
    assert [len(each.lines) for each in faulty_influx.requests] == [1, *[2] * len(trials), 1]
    assert len(faulty_influx.points) == ALL
    assert notes == []


@pytest.mark.attack("InfluxDB away", "a study goes on, and says once what is missing and what writes it later")
def test_what_influxdb_did_not_take_is_noted_once_and_written_with_the_next_trial(
    tmp_path: Path, faulty_influx: FaultyInflux
):
    notes: list[str] = []
    publish = publisher(settings(tmp_path, faulty_influx.url), notes.append)
    faulty_influx.queue(unavailable(), unavailable())
    publish(settings_study(trials=SETTINGS_STUDY.trials[:1], answer=None))
    publish(settings_study(trials=SETTINGS_STUDY.trials[:2], answer=None))
    assert faulty_influx.points == {}
    (note,) = notes
    assert note.startswith("InfluxDB did not take the trials: HTTP 503")
    assert f"`loadstone influx study {SETTINGS_STUDY.id} --results {tmp_path}`, with the same options" in note
    publish(SETTINGS_STUDY)
    assert len(faulty_influx.points) == ALL


def test_a_study_without_an_influxdb_writes_nothing(tmp_path: Path):
    notes: list[str] = []
    publisher(settings(tmp_path, None), notes.append)(SETTINGS_STUDY)
    assert notes == []


@pytest.fixture
def double(tmp_path: Path) -> DockerDouble:
    """A stack whose containers are all the same one."""
    label = "com.docker.compose."
    labels = {f"{label}project": "stack", f"{label}project.working_dir": "/", f"{label}config-hash": "h"}
    state = {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False}
    limits = dict.fromkeys(("NanoCpus", "CpuQuota", "CpuPeriod", "Memory", "MemorySwap"), 0)
    container = {"Id": "id1", "Name": "/stack-collector-1", "Image": "i", "RestartCount": 0, "State": state}
    container |= {"Config": {"Labels": labels, "Image": "collector"}, "HostConfig": limits}
    double = DockerDouble(tmp_path / "bin")
    double.answer("ps -aq", "id1\n")
    double.answer("ps -q", "id1\n")
    double.answer("container inspect", [container])
    return double


def publish_in_stack(results: Path, double: DockerDouble) -> list[str]:
    """The notes of a study in the stack."""
    notes: list[str] = []
    publish = publisher(dataclasses.replace(settings(results, None), stack=True), notes.append, double.docker)
    for study in (settings_study(answer=None), SETTINGS_STUDY, SETTINGS_STUDY):
        publish(study)
    return notes


def test_the_stacks_collector_is_asked_once_to_write_a_study_that_has_its_answer(tmp_path: Path, double: DockerDouble):
    double.answer("exec", f"study {SETTINGS_STUDY.id}: 9 of 9 points stored\n")
    assert publish_in_stack(tmp_path, double) == ["the study is on the board Capacity study"]
    (words,) = double.calls("exec")
    assert words == ["exec", "id1", "python", "-P", "-m", "loadstone", "influx", "study", SETTINGS_STUDY.id]


@pytest.mark.parametrize("part", ["exec", "ps -q"], ids=["the command fails", "no engine answers"])
def test_a_stack_whose_collector_cannot_write_a_study_ends_nothing_and_the_command_is_told(
    tmp_path: Path, double: DockerDouble, part: str
):
    double.answer(part, code=1, err="no such study\n")
    (note,) = publish_in_stack(tmp_path, double)
    assert "the stack's InfluxDB has no trials of this study: `docker" in note
    assert "no such study; " in note
    assert (
        f"`docker compose exec collector python -P -m loadstone influx study {SETTINGS_STUDY.id}` writes them" in note
    )


def test_the_command_for_the_collectors_container_finds_the_results_below_its_folder(
    tmp_path: Path, faulty_influx: FaultyInflux
):
    data = tmp_path / "data"
    StudyFolder(data / "results" / STUDIES / SETTINGS_STUDY.id).write(SETTINGS_STUDY)
    environment = {**os.environ, "LOADSTONE_INFLUX_URL": faulty_influx.url, "PYTHONPATH": str(SOURCES)}
    words = ["-P", "-m", "loadstone", "influx", "study", SETTINGS_STUDY.id]
    subprocess.run([sys.executable, *words], cwd=data, env=environment, check=True)
    assert len(faulty_influx.points) == ALL
