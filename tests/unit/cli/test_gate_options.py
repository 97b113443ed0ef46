"""``--junit`` and ``--markdown``: refused before a run if they cannot be written, and never instead of its summary."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from loadstone.cli import main as cli
from loadstone.cli import run as cli_run
from loadstone.cli import scenario_line
from loadstone.cli.common import StopFlag
from loadstone.errors import ExitCode
from loadstone.settings import ScenarioReport
from loadstone.settings.command_line import LineReport, ScenarioQuestion
from support.closed_runs import MadeRun
from support.full_disk import files_no_larger_than

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ["--junit", "--markdown"]


def a_scenario_without_options(question: ScenarioQuestion, *_: object) -> ScenarioReport:
    """Stands for loading a scenario, which starts a process: all words are loadstone's."""
    return ScenarioReport(line=LineReport(own=question.words))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a ``loadstone run`` whose run is archived already."""
    folder = MadeRun().close(tmp_path / "results")
    monkeypatch.setattr(cli_run, "_run_here", lambda *_: folder)
    monkeypatch.setattr(scenario_line, "ask", a_scenario_without_options)
    monkeypatch.setattr(StopFlag, "install", StopFlag)
    return ["run", "--results", str(tmp_path / "results")]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_folder_is_no_file_to_write(run: list[str], tmp_path: Path, capsys, option: str):
    assert cli.main([*run, option, str(tmp_path)]) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert f"{option} {tmp_path}: it is a folder" in printed.err
    assert printed.out == "", "nothing was run"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("socket", "it is a socket"),
        ("n" * 256, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
        ("file/below", "is no folder"),
        ("nowhere/file", "does not exist"),
    ],
)
def test_what_cannot_be_opened_is_refused_before_the_run(
    run: list[str], tmp_path: Path, capsys, option: str, name: str, reason: str
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK)
    assert cli.main([*run, option, str(tmp_path / name)]) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert reason in printed.err
    assert "--debug" not in printed.err
    assert printed.out == "", "nothing was run"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_this_user_may_not_write_is_refused(
    run: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, option: str, *, exists: bool
):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, as which tests may run, may write anything
    file = tmp_path / "out"
    if exists:
        file.write_text("earlier")
    assert cli.main([*run, option, str(file)]) == ExitCode.USAGE
    assert f"{option} {file}: you may not write" in capsys.readouterr().err
    assert (file.read_text() if exists else None) == ("earlier" if exists else None)
    assert file.exists() == exists


@pytest.mark.parametrize("option", OPTIONS)
def test_a_disk_that_is_full_by_then_does_not_cost_the_summary(run: list[str], tmp_path: Path, capsys, option: str):
    with files_no_larger_than(10):
        code = cli.main([*run, option, str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert "verdict: pass" in printed.out
    assert f"{option} {tmp_path / 'out'} cannot be written" in printed.err
    assert code == ExitCode.PLATFORM


def test_a_comparison_is_printed_too_when_its_file_cannot_be_written(tmp_path: Path, capsys):
    for name in ("base", "run"):
        MadeRun(run=name).close(tmp_path)
    with files_no_larger_than(10):
        code = cli.main(["compare", "base", "run", "--results", str(tmp_path), "--junit", str(tmp_path / "out")])
    assert "verdict: pass" in capsys.readouterr().out
    assert code == ExitCode.PLATFORM
