"""The summary of a run: figures, objectives, verdict, reasons, and where its files are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.domain.cut import CutRequest
from loadstone.report.terminal import print_summary
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples, write_journal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def closed_run(
    folder: Path, *objectives: str, name: str = "/quick", failing: int = 0, killed: bool = False, **identity: Any
) -> RunFolder:
    """A run of four seconds with 100 quick requests and ``failing`` slow ones, closed."""
    run, incarnation = RunMaker().started(objectives=list(objectives), **identity), IncarnationMaker()
    run.add(incarnation.batch(samples(100, 0, 3, name=("GET", name), duration_us=3000)))
    if failing:
        slow = {"name": ("POST", "/slow"), "duration_us": 1_500_000, "error": "HTTPError('500')", "status": 500}
        run.add(incarnation.batch(samples(failing, 3, 4, **slow)))
    run.stopped(4, requests=100 + failing, failures=failing)
    if not killed:
        run.add(incarnation.batch(at_s=4, final=True))
    target = RunFolder(folder / "r").create()
    write_journal(target.journal, run.entries)
    close_run(target, now_ns=START + 20 * SECOND)
    return target


def summary(folder: RunFolder) -> tuple[int, str]:
    """Exit code and text of a summary on a wide terminal without colours."""
    out = io.StringIO()
    return print_summary(folder, Console(file=out, width=160, no_color=True)), out.getvalue()


def cells(text: str, label: str) -> list[str]:
    """The cells of the row that begins with a label."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return next(row for row in rows if row[0] == label)


def test_every_request_name_has_its_row_and_all_of_them_together(tmp_path: Path):
    code, text = summary(closed_run(tmp_path, failing=25))
    assert cells(text, "GET /quick")[1:3] == ["100", "0"]
    assert cells(text, "GET /quick")[4:6] == ["3.0", "3.0"]
    assert cells(text, "POST /slow")[1:3] == ["25", "25 (100.0%)"]
    assert cells(text, "POST /slow")[8] == "1,500", "from a second on without a fraction"
    assert cells(text, "all")[1:3] == ["125", "25 (20.0%)"]
    assert code == 0
    assert "verdict: pass" in text
    assert "no objective limits failures" in text


def test_objectives_are_shown_with_what_was_measured(tmp_path: Path):
    objectives = ("p95[GET /quick]<500ms", "failures<=10%", "cpu(target)<90%")
    code, text = summary(closed_run(tmp_path, *objectives, failing=25))
    assert cells(text, objectives[0])[1:] == ["3 ms", "held"]
    assert cells(text, objectives[1])[1:] == ["20 %", "missed"]
    assert cells(text, objectives[2])[1:] == ["-", "undecided"]
    assert code == 1
    assert "verdict: fail" in text
    assert any("failures" in line and line.startswith("  ") for line in text.splitlines()), "the reason"


def test_requests_that_a_killed_worker_may_have_lost_are_counted_as_unknown(tmp_path: Path):
    code, text = summary(closed_run(tmp_path, killed=True))
    assert "100 requests produced, 100 stored, 0 dropped, 40 unknown" in text
    assert code == 0, "no objective that they could change"


def test_a_run_without_a_request_says_so_and_is_inconclusive(tmp_path: Path):
    run = RunMaker().started().stopped(4).add(IncarnationMaker().batch(at_s=4, final=True))
    folder = RunFolder(tmp_path / "r").create()
    write_journal(folder.journal, run.entries)
    close_run(folder, now_ns=START + 20 * SECOND)
    code, text = summary(folder)
    assert code == 3
    assert "verdict: inconclusive" in text
    assert "no request at all" in text
    assert cells(text, "all")[1:3] == ["0", "0"]


def test_the_folder_is_named_in_one_line_however_long_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    deep = tmp_path / ("a" * 120) / ("b" * 60)
    deep.mkdir(parents=True)
    folder = closed_run(deep)
    print_summary(folder)
    assert f"All files of this run: {folder.path}" in capsys.readouterr().out.splitlines()


def test_text_of_a_run_is_never_taken_for_formatting(tmp_path: Path):
    objective = "p95[GET /items/[red]]<1us"
    _, text = summary(closed_run(tmp_path, objective, host="http://[::1]:80/[bold]", name="/items/[red]/[/end]"))
    for given in (objective, "http://[::1]:80/[bold]", "GET /items/[red]/[/end]"):
        assert given in text


def test_figures_say_whether_they_are_of_the_window_or_of_the_whole_run(tmp_path: Path):
    _, text = summary(closed_run(tmp_path, failing=25))
    assert "5 users on http://target, whole run" in text
    assert cells(text, "all in the window, 4 s")[1] == "125"
    assert "latencies of the window include 0 requests in flight at its end" in text
    assert "Closed model: a user waits for its answer" in text


def test_requests_in_flight_count_in_the_latencies_of_the_window_only(tmp_path: Path):
    """Five were answered a second after it, having taken two, and three were cut off four seconds after it."""
    run, incarnation = RunMaker().started(stop_timeout_s=4.0), IncarnationMaker()
    run.add(incarnation.batch(samples(100, 0, 4, duration_us=3000)))
    later = samples(5, 5, 5.1, duration_us=2_000_000)
    cut = tuple(CutRequest("GET", "/", START + 3 * SECOND, 5_000_000) for _ in range(3))
    run.add(incarnation.batch(later, at_s=8, aborted=3, cut=cut, final=True)).stopped(4, requests=105)
    folder = RunFolder(tmp_path / "r").create()
    write_journal(folder.journal, run.entries)
    record = close_run(folder, now_ns=START + 20 * SECOND).record
    window, whole = record.summary.window.total, record.summary.run.total
    assert (window.requests, window.in_flight, window.max_ms) == (100, 8, 5000.0)
    assert (whole.requests, whole.in_flight, whole.max_ms) == (105, 0, 2000.0)
    assert (record.in_flight.ended_later, record.in_flight.cut, record.in_flight.failed) == (5, 3, 3)
    _, text = summary(folder)
    assert "include 5 requests in flight at its end and 3 cut off; 3 of these count as failures" in text
