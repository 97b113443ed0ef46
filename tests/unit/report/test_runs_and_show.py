"""``loadstone runs`` and ``loadstone show``: the table of all runs and the summary of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from loadstone.cli.main import main
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    MadeRun(run="20260920-120000-aaaa", users=7).close(results)
    MadeRun(run="20260921-120000-bbbb", objectives=["p95<1ms"], users=1234).close(results)
    (results / "20260922-120000-cccc" / "journal").mkdir(parents=True)
    (results / "20260922-120000-dddd" / "journal").mkdir(parents=True)
    (results / "20260922-120000-dddd" / "run.json").write_text("{")
    (results / "20260922-120000-eeee").mkdir()
    (results / "20260922-120000-eeee" / "run.json").write_text('{"format": 1, "id": "20260922-120000-eeee"}')
    return results


def line_of(text: str, run: str) -> str:
    return next(line for line in text.splitlines() if run in line)


def test_each_run_is_one_line_with_its_figures_and_its_verdict(results: Path, capsys):
    assert main(["runs", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    held = line_of(said, "aaaa")
    assert all(word in held for word in ("2026-09-21 14:13:20", "scenario.py", " 7 ", "40.0", "%", "pass"))
    assert "1,234" in line_of(said, "bbbb")
    assert "fail" in line_of(said, "bbbb")


def test_runs_that_are_open_or_damaged_are_listed_as_that(results: Path, capsys):
    main(["runs", "--results", str(results)])
    said = capsys.readouterr().out
    assert "open" in line_of(said, "cccc")
    assert "damaged" in line_of(said, "dddd")
    assert "damaged" in line_of(said, "eeee"), "JSON that is not the record of a run"
    assert "pass" in line_of(said, "aaaa"), "a damaged run does not hide the others"


def test_only_the_newest_are_shown_when_asked_for(results: Path, capsys):
    main(["runs", "--newest", "1", "--results", str(results)])
    said = capsys.readouterr().out
    assert "eeee" in said
    assert "dddd" not in said


def test_a_folder_without_a_run_is_no_error_and_says_how_to_start_one(tmp_path: Path, capsys):
    assert main(["runs", "--results", str(tmp_path / "none")]) == 0
    assert "loadstone run" in " ".join(capsys.readouterr().out.split()), "a long path moves the end of the line"


def test_a_run_is_shown_by_the_beginning_of_its_id_whatever_its_verdict(results: Path, capsys):
    assert main(["show", "20260921", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    assert "verdict: fail" in said
    assert "p95<1ms" in said


def test_an_ambiguous_beginning_is_refused_with_the_candidates(results: Path, capsys):
    assert main(["show", "202609", "--results", str(results)]) == 2
    assert "aaaa" in capsys.readouterr().err


def test_a_run_that_is_still_open_says_how_to_close_it(results: Path, capsys):
    assert main(["show", "20260922-120000-cccc", "--results", str(results)]) == 2
    assert "loadstone recover" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [["runs"], ["show", "20260921"], ["compare", "20260920", "20260921", "--allow-unlike"]]
)
def test_a_table_fits_a_terminal_of_80_columns_and_cuts_no_figure(
    results: Path, capsys, monkeypatch: pytest.MonkeyPatch, verb: list[str]
):
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "80"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    main([*verb, "--results", str(results)])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    table = [line for line in lines if not line.startswith("All files") and " is damaged: " not in line]
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(table)
    assert any("20260921-120000-bbbb" in line for line in table), "the id in one piece"


def test_a_run_of_the_open_model_shows_both_times_and_what_became_of_its_arrivals(tmp_path: Path, capsys):
    identity = {"rate": ["20/s..40/s over 5s", "40/s"], "host": "http://h"}
    MadeRun(run="20260923-120000-open", late_ms=2.5, not_sent=3, sigma=0, identity=identity).close(tmp_path)
    assert main(["show", "latest", "--results", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "run 20260923-120000-open: 20/s..40/s over 5s, then 40/s on http://h, up to 5 users, whole run" in shown
    assert shown.count("service time") == 3, "below both rows of totals, and in the sentence on the model"
    assert "arrivals in the window of 20 s: 803 planned, 800 sent, 3 not sent; lateness p99 2.5 ms, max 2.5 ms" in shown
    assert "3 of 803 planned arrivals were not sent" in shown
    assert "Open model: iterations begin when the schedule says so" in shown
    assert "Closed model" not in shown
