"""The command line: every verb is listed, an action shows only its own options, and wrong use is one sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from loadstone.cli import main as cli
from loadstone.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH = 80


@pytest.fixture(autouse=True)
def _terminal_of_eighty_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def options_in(text: str) -> set[str]:
    return set(re.findall(r"^ +(?:-\w[^,]*, )?(--[\w-]+)", text, re.MULTILINE))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that is printed for wrong use."""
    assert cli.main(words) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def test_the_help_lists_every_verb_with_one_sentence_in_eighty_columns(help_of: Callable[..., str]):
    shown = help_of()
    for verb in cli.verbs():
        assert f"    {verb.name} " in shown
        assert verb.help.endswith(".")
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_an_action_shows_only_its_own_options(help_of: Callable[..., str]):
    assert options_in(help_of("grafana", "push")) == {
        *("--help", "--url", "--token-file", "--dashboards", "--config"),
        *("--influx-url", "--influx-bucket", "--influx-token-file"),
    }
    assert options_in(help_of("grafana", "annotate")) == {
        *("--help", "--url", "--token-file", "--board", "--results", "--config"),
    }
    assert options_in(help_of("setup", "influx")) == {"--help"}
    assert options_in(help_of("setup", "secrets")) == {"--help", "--secrets", "--results"}
    assert options_in(help_of("secrets", "show")) == {"--help", "--secrets"}
    assert "--influx-url" in options_in(help_of("influx", "backfill"))


def test_the_help_of_capacity_lists_how_a_study_is_resumed(help_of: Callable[..., str]):
    assert "\n  --resume STUDY " in help_of("capacity")


@pytest.mark.parametrize("group", [verb for verb in cli.verbs() if verb.actions], ids=lambda verb: verb.name)
def test_a_group_without_an_action_names_the_help(capsys: pytest.CaptureFixture[str], group):
    line = refused(capsys, group.name)
    assert "required: ACTION" in line
    assert f"`loadstone {group.name} --help`" in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rnu"], "rnu"),
        ([], "VERB"),
        (["usage", "--colour", "red"], "--colour red"),
        (["grafana", "pusch"], "pusch"),
        (["grafana", "annotate"], "RUN"),
        (["grafana", "push", "latest"], "latest"),
        (["grafana", "push", "--board", "uid"], "--board uid"),
        (["setup", "influx", "--results", "here"], "--results here"),
        (["show"], "RUN"),
        (["runs", "--newest", "few"], "few"),
        (["export", "latest", "--format", "xlsx"], "xlsx"),
        (["influx", "backfill", "latest"], "--influx-url"),
        (["influx", "study", "latest"], "--influx-url"),
        (["grafana", "push"], "--url"),
        (["worker"], "--redis-url"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_sentence_that_names_what_was_wrong(
    capsys: pytest.CaptureFixture[str], words: list[str], named: str
):
    line = refused(capsys, *words)
    assert line.startswith("loadstone: ")
    assert named in line


def test_wrong_settings_are_told_in_one_line_each_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["usage", "--pid", "none", "--redis-url", "nowhere"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("loadstone: --") for line in lines)


def test_a_settings_file_may_hold_the_settings_of_other_verbs_but_no_unknown_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file = tmp_path / "loadstone.toml"
    file.write_text('users = 100\nmaster = "10.0.0.1"\n')
    assert cli.main(["doctor", "--config", str(file)]) == ExitCode.PASS
    capsys.readouterr()
    file.write_text("usres = 100\n")
    assert "usres in the file is not known, did you mean users?" in refused(capsys, "run", "--config", str(file))


def test_debug_shows_where_an_error_came_from(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--debug", "worker"]) == ExitCode.USAGE
    assert "Traceback" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"loadstone \d+\.\d+\.\d+\n", capsys.readouterr().out)
