"""Logs of a run's processes are kept in its folder: bounded, without secrets and without escape sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.archive.logs import LOG_LIMIT, keep_logs
from loadstone.launch.kept_logs import KeptLogs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results" / "run-1").mkdir(parents=True)
    return tmp_path / "results"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def say(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def kept(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.attack("a secret or an escape sequence in a log", "masked and spelled out in the run folder")
@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("GET http://bob:hunter2@h/?token=abc\n", "GET http://***@h/?token=***\n"),
        ("\x1b]0;evil\x07 \x9b31m\n\tyes\n", "\\x1b]0;evil\\x07 \\x9b31m\n\tyes\n"),
        ("", None),
    ],
    ids=["secrets", "escape sequences", "an empty log"],
)
def test_a_log_is_kept_without_what_it_must_not_hold(results: Path, logs: Path, said: str, text: str | None):
    say(logs / "master.log", said)
    files = KeptLogs(logs, results)
    files.note_run("run-1")
    assert files.keep(even_without_run=True) == ""
    folder = results / "run-1" / "logs"
    assert (kept(folder) if folder.exists() else {}) == ({"master.log": text} if text is not None else {})


def test_bytes_that_are_no_text_are_kept_as_marks(results: Path, logs: Path):
    (logs / "a.log").write_bytes(b"\xff ok\n")
    keep_logs(results, {logs / "a.log": range(5)})
    assert (results / "a.log").read_text() == "\ufffd ok\n"


def test_of_a_long_log_whole_lines_at_its_end_are_kept(results: Path, logs: Path):
    say(logs / "a.log", "".join(f"line {number:08d}\n" for number in range(200_000)))
    size = (logs / "a.log").stat().st_size
    keep_logs(results, {logs / "a.log": range(size)})
    first, second, *_, last = (results / "a.log").read_text().splitlines()
    assert first == f"[the first {size - LOG_LIMIT:,} bytes are left out]"
    assert second.startswith("line 00")
    assert last == "line 00199999"
    assert (results / "a.log").stat().st_size <= LOG_LIMIT + 100


def test_each_run_of_a_stack_gets_what_was_said_during_it(results: Path, logs: Path):
    (results / "run-2").mkdir()
    files = KeptLogs(logs, results)
    say(logs / "a.log", "start\n")
    files.note_run("run-1")
    say(logs / "a.log", "first\n")
    files.note_run("run-2")
    files.note_run("run-2")
    say(logs / "a.log", "second\n")
    files.keep(even_without_run=False)
    assert kept(results / "run-1" / "logs") == {"a.log": "start\nfirst\n"}
    assert kept(results / "run-2" / "logs") == {"a.log": "second\n"}


@pytest.mark.attack("a run that fails to start", "its logs are kept beside the runs, the newest ten")
def test_without_a_run_logs_are_kept_beside_the_runs_and_the_newest_stay(results: Path, logs: Path):
    say(logs / "master.log", "boom\n")
    told = [KeptLogs(logs, results).keep(even_without_run=True) for _ in range(12)]
    folders = sorted((results / "logs-without-run").iterdir())
    assert len(folders) == 10
    assert told[-1] == f"the logs of all processes are in {folders[-1]}"
    assert kept(folders[-1]) == {"master.log": "boom\n"}


def test_without_a_run_nothing_is_kept_unless_that_is_wanted(results: Path, logs: Path):
    say(logs / "master.log", "fine\n")
    assert KeptLogs(logs, results).keep(even_without_run=False) == ""
    assert [path.name for path in results.iterdir()] == ["run-1"]


def test_logs_of_a_run_whose_folder_is_gone_are_kept_beside_the_runs(results: Path, logs: Path):
    say(logs / "master.log", "gone\n")
    files = KeptLogs(logs, results)
    files.note_run("run-9")
    assert str(results / "logs-without-run") in files.keep(even_without_run=False)


def test_logs_that_cannot_be_kept_are_no_error_but_said(tmp_path: Path, logs: Path):
    say(logs / "master.log", "boom\n")
    (tmp_path / "file").write_text("")
    told = KeptLogs(logs, tmp_path / "file").keep(even_without_run=True)
    assert told.startswith("the logs of the processes could not be kept: ")
