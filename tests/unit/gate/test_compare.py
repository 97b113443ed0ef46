"""``loadstone compare``: differences, refusals, exit codes, JUnit and Markdown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.figure_notes import CLOSED_MODEL, OPEN_MODEL
from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.cli.main import main
from loadstone.domain.cut import CutRequest
from loadstone.domain.run_seconds import ALL
from loadstone.errors import SettingsError, UsageError
from loadstone.gate.change import parse_change_objectives
from loadstone.gate.compare import Comparison, compare_runs
from loadstone.gate.files import junit_xml
from loadstone.gate.verdict_report import report_of_comparison
from support.closed_runs import HOSTILE, MadeRun
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples, write_journal

if TYPE_CHECKING:
    from pathlib import Path

LINK = "[x](http://evil)|`"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    usual = {"seconds": 60, "rate": 100, "names": [("GET", HOSTILE + LINK), ("POST", "/predict")]}
    MadeRun(run="base", **usual).close(results)
    MadeRun(run="same", seed=2, **usual).close(results)
    MadeRun(run="slow", seed=3, slower=1.3, **usual).close(results)
    MadeRun(run="more-users", seed=4, users=9, **usual).close(results)
    MadeRun(run="nothing", rate=0, seconds=60).close(results)
    return results


def compare(results: Path, *arguments: str) -> int:
    return main(["compare", *arguments, "--results", str(results)])


def test_a_slower_run_is_marked_and_misses_its_objective(results: Path, capsys):
    assert compare(results, "base", "slow", "--objective", "p95<=+5%") == 1
    said = capsys.readouterr().out
    assert "p95<=+5%: missed (p95 changed by +" in said
    assert "verdict: fail" in said


def test_runs_of_the_open_model_are_compared_by_response_times_and_not_with_runs_of_another_rate(tmp_path: Path):
    """Of two targets that answer equally fast, the one that was asked 40 ms late answers 40 ms later."""
    usual = {"seconds": 60, "rate": 100}
    open_model = {"identity": {"rate": ["100/s"], "arrivals": "poisson"}, "late_ms": 1.0}
    folders = [
        MadeRun(run="closed", **usual).close(tmp_path),
        MadeRun(run="open", **usual, **open_model).close(tmp_path),
        MadeRun(run="late", **usual, **(open_model | {"late_ms": 41.0})).close(tmp_path),
    ]
    closed, prompt, late = map(ClosedRun.open, folders)
    with pytest.raises(UsageError, match=r"different rate of arrivals \(none and 100/s\)"):
        compare_runs(closed, prompt)
    comparison = compare_runs(prompt, late)
    mean = next(each for each in comparison.changes if each.metric == "mean" and each.name == ALL)
    assert mean.base is not None
    assert mean.run == pytest.approx(mean.base + 40)
    (scope,) = report_of_comparison(comparison).notes[-1:]
    assert OPEN_MODEL in scope
    assert CLOSED_MODEL not in scope


def test_an_equal_run_holds_a_wide_objective(results: Path, capsys):
    assert compare(results, "base", "same", "--objective", "p95<=+25%", "failures<=+5pp", "rps>=-5%") == 0
    assert "verdict: pass" in capsys.readouterr().out


def test_a_limit_inside_the_interval_cannot_be_decided(results: Path, capsys):
    assert compare(results, "base", "slow", "--objective", "p95<=+30%") == 3
    assert "undecided" in capsys.readouterr().out


def test_without_objectives_a_difference_is_no_failure(results: Path):
    assert compare(results, "base", "slow") == 0


def test_runs_that_are_not_comparable_are_refused_with_what_differs_unless_allowed(results: Path, capsys):
    assert compare(results, "base", "more-users") == 2
    assert "different number of users (5 and 9)" in capsys.readouterr().err
    assert compare(results, "base", "more-users", "--allow-unlike") == 0
    assert "different number of users (5 and 9)" in capsys.readouterr().out


def test_an_objective_on_one_request_looks_at_that_alone(results: Path, capsys):
    assert compare(results, "base", "slow", "--objective", "p50[POST /predict]<=+5%") == 1
    assert compare(results, "base", "slow", "--objective", "p50[/nowhere]<=+5%") == 2
    assert "POST /predict" in capsys.readouterr().err


def test_a_run_without_a_request_is_inconclusive(results: Path):
    assert compare(results, "base", "nothing", "--allow-unlike", "--objective", "p95<=+5%") == 3


def test_junit_has_one_case_per_objective(results: Path, tmp_path: Path):
    compare(results, "base", "slow", "--objective", "p95<=+5%", "rps>=-5%", "--junit", str(tmp_path / "j.xml"))
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert [case.get("name") for case in suite.iter("testcase")] == ["p95<=+5%", "rps>=-5%"]


def doubtful(results: Path, *objectives: str) -> Comparison:
    """A comparison whose base was inconclusive, although all of its objectives are held."""
    base, run = (ClosedRun.open(RunFolder(results / name)) for name in ("base", "same"))
    found = compare_runs(base, run, parse_change_objectives(objectives))
    return replace(found, doubts=("run base is inconclusive: the load generator ran out of CPU",))


def test_junit_of_an_unsound_measurement_has_an_error_although_every_objective_is_held(results: Path):
    comparison = doubtful(results, "p95<=+25%")
    assert comparison.verdict == "inconclusive"
    suite = ET.fromstring(junit_xml(report_of_comparison(comparison)))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "1")
    first, second = suite.iter("testcase")
    assert (first.get("name"), second.get("name")) == ("both measurements are sound", "p95<=+25%")
    (error,) = first
    assert "ran out of CPU" in (error.get("message") or "")


def test_without_objectives_a_doubt_is_a_note_and_no_check_as_the_verdict_is_pass(results: Path):
    comparison = doubtful(results)
    assert comparison.verdict == "pass"
    report = report_of_comparison(comparison)
    assert report.checks == []
    assert any("ran out of CPU" in note for note in report.notes)


def test_markdown_shows_hostile_names_as_they_are_and_nothing_else(results: Path, tmp_path: Path):
    target = tmp_path / "out.md"
    compare(results, "base", "slow", "--markdown", str(target))
    text = target.read_text()
    assert "<script" not in text
    assert "[x](" not in text
    tables = [line for line in text.splitlines() if line.startswith("| GET")]
    assert len(tables) == 6
    assert {line.replace("\\|", "").count("|") for line in tables} == {8}


def test_a_file_that_cannot_be_written_is_reported_before_anything_is_compared(results: Path, capsys):
    assert compare(results, "base", "slow", "--junit", "nowhere/at/all.xml") == 2
    assert "folder nowhere/at does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("p95<=5ms", "METRIC OPERATOR CHANGE"),
        ("p95<=+5pp", "given in %"),
        ("failures<=+1%", "percentage points"),
        ("p0<=+1%", "not a percentile"),
        ("p95<=5%", "METRIC OPERATOR CHANGE"),
    ],
)
def test_a_wrong_objective_is_refused_with_what_is_allowed(text: str, problem: str):
    with pytest.raises(SettingsError, match=problem):
        parse_change_objectives([text])


def test_all_wrong_objectives_are_reported_at_once():
    with pytest.raises(SettingsError) as raised:
        parse_change_objectives(["x", "y", "p95<=+5%"])
    assert len(raised.value.problems) == 2


def test_a_run_that_failed_because_its_target_hung_is_no_sound_basis_either(tmp_path: Path):
    """The comparison is of answered requests, and would make it look faster than it was."""
    cut = tuple(CutRequest("GET", "/", START + 10 * SECOND, 14_000_000) for _ in range(5))
    for name, stop_s, left in (("base", 10, ()), ("hung", 20, cut)):
        run, incarnation = (
            RunMaker(run=name).started(stop_timeout_s=4.0, objectives=["failures==0"]),
            IncarnationMaker(),
        )
        run.add(incarnation.batch(samples(1000, 0, 10), at_s=10))
        run.add(incarnation.batch(at_s=24, aborted=len(left), cut=left, final=True)).stopped(stop_s, requests=1000)
        folder = RunFolder(tmp_path / name).create()
        write_journal(folder.journal, run.entries)
        close_run(folder, now_ns=START + 30 * SECOND)
    base, hung = (ClosedRun.open(RunFolder(tmp_path / name)) for name in ("base", "hung"))
    assert (base.record.verdict, hung.record.verdict) == ("pass", "fail")
    comparison = compare_runs(base, hung, parse_change_objectives(["p95<=+25%"]))
    assert comparison.verdict == "inconclusive"
    assert comparison.doubts == (
        "run hung had 5 requests cut off in flight, which cannot be compared",
        "run hung answered nobody for 10.0 s while users waited",
    )
