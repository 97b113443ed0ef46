"""Tables in a terminal of 80 columns: no line is wider, and no figure loses a digit or is folded."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from rich.text import Text

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.domain.objective import number_text
from loadstone.domain.run_seconds import ALL
from loadstone.gate.change import parse_change_objectives
from loadstone.gate.compare import compare_runs
from loadstone.gate.verdict_report import change_row
from loadstone.report.tables import Row, fitting_table
from loadstone.report.terminal import print_comparison, print_runs, print_summary
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = f"/v1/models/recommendations/versions/2026-11/predict/{'batch/' * 20}last"
NAMES = [("POST", LONG), ("GET", "/"), ("DELETE", "/x" * 150)]
OBJECTIVES = [f"p99[POST {LONG}]<300ms", "p95<500ms", "failures<=0.1%", "rps>=1000", "cpu(target)<90%", "count>=1"]
IDS = ["20260920-120000-slow", "20260921-120000-less", "20260923-120000-open"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slow runs with long names and many users, and one of a rate with two stages."""
    results = tmp_path_factory.mktemp("results")
    usual: dict[str, Any] = {"names": NAMES, "objectives": OBJECTIVES, "seconds": 60, "rate": 300, "users": 1_000_000}
    MadeRun(run=IDS[0], median_ms=900_000, failure_share=0.6, **usual).close(results)
    MadeRun(run=IDS[1], median_ms=200_000, slower=2, **usual).close(results)
    identity = {"rate": ["20/s..40/s over 5s", "40/s"], "host": f"http://{'long.' * 20}example.com"}
    MadeRun(run=IDS[2], late_ms=2.5, not_sent=3, median_ms=90_000, identity=identity).close(results)
    return results


def printed(show: Callable[[Console], object], width: int = 80) -> list[str]:
    """What is shown on a console without colours."""
    out = io.StringIO()
    show(Console(file=out, width=width, no_color=True))
    return out.getvalue().splitlines()


def shown_run(results: Path, run: str, width: int = 80) -> list[str]:
    return printed(lambda console: print_summary(RunFolder(results / run), console), width)


def fits(lines: list[str], width: int = 80) -> bool:
    """Whether every line fits, but for the one that names the folder, which a terminal wraps by itself."""
    return max(len(line) for line in lines if not line.startswith("All files of this run")) <= width


@pytest.mark.parametrize("run", IDS)
def test_every_figure_of_a_summary_stands_whole_in_the_line_of_its_name(results: Path, run: str):
    lines, record = shown_run(results, run), ClosedRun.open(RunFolder(results / run)).record
    assert fits(lines)
    for figures in (record.summary.run.total, record.summary.window.total, *record.summary.run.names):
        counts = rf"{figures.requests:,} +{figures.failures:,} \({figures.failures_pct:.1f}%\) +{figures.rps:,.1f} "
        times = " +".join(f"{ms:,.1f}" if ms < 1000 else f"{ms:,.0f}" for ms in (figures.p95_ms, figures.p99_ms))
        assert any(re.search(f" {counts}.*{times} *$", line) for line in lines), (counts, times)


@pytest.mark.parametrize("run", IDS)
def test_every_objective_shows_its_limit_what_was_measured_and_its_result(results: Path, run: str):
    lines, record = shown_run(results, run), ClosedRun.open(RunFolder(results / run)).record
    for objective in record.objectives:
        assert objective.value is not None
        assert objective.ok is not None
        value = re.escape(number_text(objective.value, objective.limit))
        result = "held" if objective.ok else "missed"
        assert any(re.search(rf" {value}(/s| ms| %|) +{result} *$", line) for line in lines), objective.text
    text = "".join(line.strip() for line in lines)
    assert all(objective.text[-6:] in text for objective in record.objectives), "limits stand at the end"


def test_a_run_at_a_rate_shows_both_times_in_80_columns(results: Path):
    lines = shown_run(results, IDS[2])
    times = [line.split()[2:] for line in lines if line.startswith("   service time ")]
    assert len(times) == 2
    assert all(len(row) >= 3 and all(re.fullmatch(r"[0-9,.]+", cell) for cell in row) for row in times)


def test_reasons_are_indented_in_every_line_that_they_take(results: Path):
    lines = shown_run(results, IDS[0])
    at = lines.index("verdict: fail")
    until = next(at for at, line in enumerate(lines) if "requests produced" in line)
    assert any("must be < 300 ms" in line for line in lines[at:until])
    assert all(line.startswith("  ") and line == line.rstrip() for line in lines[at + 1 : until])


def test_the_list_of_runs_shows_every_id_figure_and_verdict_whole(results: Path):
    lines = printed(lambda console: print_runs(results, console=console))
    assert fits(lines)
    for run in IDS:
        record = ClosedRun.open(RunFolder(results / run)).record
        total = record.judged.total
        row = next(line for line in lines if run in line).split()
        p95 = f"{total.p95_ms:,.0f}" if total.p95_ms >= 1000 else f"{total.p95_ms:,.1f}"
        assert row == [
            run,
            f"{record.users:,}",
            f"{total.rps:,.1f}",
            f"{total.failures_pct:.3g}",
            "%",
            p95,
            record.verdict,
        ]


def test_a_comparison_shows_every_interval_whole(results: Path):
    base, run = (ClosedRun.open(RunFolder(results / each)) for each in IDS[:2])
    comparison = compare_runs(base, run, parse_change_objectives(["p95<=+5%", "failures<=+1pp"]))
    lines = printed(lambda console: print_comparison(comparison, console))
    assert fits(lines)
    rows = [change_row(change) for change in comparison.changes if change.name == ALL]
    assert rows
    for _, metric, base_text, run_text, change, interval, _ in rows:
        row = rf" {metric} +{base_text} +{run_text} +{re.escape(change)} +{re.escape(interval)} "
        assert any(re.search(row, line) for line in lines), row


HUGE = {
    "name": f"POST {LONG}",
    "requests": "1,234,567,890",
    "failures": "1,234,567,890 (100.0%)",
    "req/s": "123,456.7",
    "mean ms": "3,599,997",
    "p50 ms": "3,599,998",
    "p95 ms": "3,599,999",
    "p99 ms": "3,600,000",
}
CHOICES = [list(HUGE), [each for each in HUGE if each not in {"mean ms", "p50 ms", "req/s"}]]


def table_of(cells: dict[str, str], width: int) -> list[str]:
    rows = [Row({name: Text(cell) for name, cell in cells.items()})]
    return printed(lambda console: console.print(fitting_table(console, rows, CHOICES, name="name")), width)


@pytest.mark.parametrize(("width", "has_all", "ruled"), [(160, True, True), (112, True, False), (80, False, False)])
def test_lines_go_first_and_columns_next_where_there_is_no_room(width: int, has_all: bool, ruled: bool):
    lines = table_of(HUGE, width)
    text = "\n".join(lines)
    assert fits(lines, width)
    assert ("│" in text) == ruled
    assert [HUGE[name] in text for name in HUGE if name != "name"] == [
        has_all or name in CHOICES[1] for name in HUGE if name != "name"
    ]


def test_a_name_that_takes_too_many_lines_loses_its_middle():
    lines = [line for line in table_of(HUGE, 80) if re.search(r"[a-z]", line)]
    assert len(lines) <= 5, "a header, and about three lines"
    assert "…" in "".join(lines)
    assert "last" in "".join(line.strip() for line in lines[-2:])


@pytest.mark.parametrize("width", [24, 30, 40])
def test_where_nothing_fits_figures_are_folded_and_lose_no_digit(width: int):
    cells = {"name": "n", **{name: "" for name in HUGE if name != "name"}, "p99 ms": "9876543210"}
    body = "".join(table_of(cells, width)).rpartition("─")[2]
    digits = "".join(re.findall(r"[0-9]", body))
    assert digits == "9876543210"
