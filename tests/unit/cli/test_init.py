"""``loadstone init``: what it writes can be run as it is, and what is there already stays."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from loadstone.cli import main as cli
from loadstone.cli.common import settings_from
from loadstone.errors import ExitCode
from loadstone.settings import RunSettings

FILES = {"locustfile.py", "load.toml", ".github/workflows/load-test.yml"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_three_files_and_says_what_comes_next(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["init"]) == ExitCode.PASS
    assert files_in(folder) == FILES
    said = capsys.readouterr().out
    assert all(name in said for name in FILES)
    assert said.endswith("Next: loadstone run --config load.toml\n")


def test_another_folder_is_made_and_named_in_the_next_step(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["init", "load tests"]) == ExitCode.PASS
    assert files_in(folder / "load tests") == {"locustfile.py", "load.toml"}, "a workflow has to be at the top"
    assert capsys.readouterr().out.endswith("Next: cd 'load tests' && loadstone run --config load.toml\n")


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_there_already_stays_and_nothing_else_is_written(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    assert cli.main(["init"]) == ExitCode.USAGE
    assert (files_in(folder), (folder / name).read_text()) == ({name}, "mine")
    assert f"{name} already exists; nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["https://api.example.com/v1", "http://h/\N{ROCKET}", 'http://h/"quoted"\\path'])
def test_the_settings_are_valid_and_hold_the_host(host: str):
    assert cli.main(["init", "--host", host]) == ExitCode.PASS
    arguments = cli.parser("run").parse_args(["run", "--config", "load.toml"])
    settings = settings_from(RunSettings, arguments)
    assert (settings.host, settings.users, settings.objective) == (host, 50, ("p95<500ms", "failures<=0.1%"))


@pytest.mark.parametrize("host", ["api.example.com", "ftp://h", ""])
def test_a_host_that_is_no_web_address_is_refused(host: str, folder: Path):
    assert cli.main(["init", "--host", host]) == ExitCode.USAGE
    assert files_in(folder) == set()


def test_the_workflow_runs_what_is_there_with_options_that_there_are():
    assert cli.main(["init"]) == ExitCode.PASS
    workflow = yaml.safe_load(Path(".github/workflows/load-test.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["load-test"]["steps"] if "run" in step]
    (command,) = [shlex.split(each) for each in commands if each.startswith("loadstone run")]
    arguments = cli.parser("run").parse_args(command[1:])
    assert Path(arguments.config).exists()
    assert any(f"cat {arguments.markdown}" in each for each in commands)


def test_a_file_that_cannot_be_written_is_said_and_none_is(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / ".github").touch()
    assert cli.main(["init"]) == ExitCode.USAGE
    assert ".github" in capsys.readouterr().err
    assert files_in(folder) == {".github"}


def test_a_link_that_leads_nowhere_is_not_followed(folder: Path):
    (folder / "load.toml").symlink_to(folder / "elsewhere")
    assert cli.main(["init"]) == ExitCode.USAGE
    assert files_in(folder) == set()
