"""Errors over time: a line for each of the most frequent texts, and one for all others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import ClosedRun, RunTable
from loadstone.charts.binned import Bins
from loadstone.charts.error_series import read_error_series
from support.closed_runs import MadeRun, closed
from support.run_maker import START, IncarnationMaker, RunMaker, Sample

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BEGIN = START // 1_000_000_000
TEN_SECONDS = Bins(begin=BEGIN, seconds=10, step_s=1)


def run_with(tmp_path: Path, errors: list[tuple[float, str | None]]) -> ClosedRun:
    """A run of ten seconds in which requests ended at these times with these errors."""
    maker, incarnation = RunMaker().started(), IncarnationMaker()
    samples = [Sample(end_s=at_s, error=error) for at_s, error in errors]
    maker.add(incarnation.batch(samples, at_s=9.5, final=True))
    return ClosedRun.open(closed(tmp_path / "r", maker.stopped(10).entries, 10))


def test_every_text_has_a_line_and_the_most_frequent_comes_first(tmp_path: Path):
    run = run_with(tmp_path, [(1.5, "refused"), (1.6, None), (3.2, "timeout"), (3.9, "timeout")])
    assert read_error_series(run, TEN_SECONDS) == {
        "timeout": [0, 0, 0, 2, 0, 0, 0, 0, 0, 0],
        "refused": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    }


def test_bins_of_several_seconds_show_rates(tmp_path: Path):
    run = run_with(tmp_path, [(1.5, "refused"), (3.2, "refused"), (3.9, "refused")])
    assert read_error_series(run, replace(TEN_SECONDS, step_s=5)) == {"refused": [0.6, 0]}


def test_the_last_bin_is_divided_by_its_own_length(tmp_path: Path):
    run = run_with(tmp_path, [(at + 0.5, "refused") for at in range(9)])
    assert read_error_series(run, Bins(begin=BEGIN, seconds=9, step_s=5)) == {"refused": [1, 1]}


def test_rare_texts_share_one_line(tmp_path: Path):
    errors = [(number / 10 + 0.1, f"error {number}") for number in range(20)]
    series = read_error_series(run_with(tmp_path, [*errors, (5.0, "error 7")]), TEN_SECONDS)
    assert len(series) == 9
    assert next(iter(series)) == "error 7"
    assert sum(series["other errors"]) == 12
    assert sum(map(sum, series.values())) == 21


def test_long_texts_that_begin_alike_keep_lines_of_their_own(tmp_path: Path):
    series = read_error_series(run_with(tmp_path, [(1, "x" * 80 + "a"), (2, "x" * 80 + "b")]), TEN_SECONDS)
    assert list(series) == ["x" * 59 + "…", "x" * 59 + "… (2)"]


def test_no_two_texts_share_a_label(tmp_path: Path):
    texts = ["x" * 80 + "a", "x" * 80 + "b", "x" * 59 + "… (2)", "refused (2)", "refused", "other errors"]
    more = [f"rare {number}" for number in range(5)]
    errors = [(0.5 + at / 10, text) for at, text in enumerate([*texts * 2, *more])]
    series = read_error_series(run_with(tmp_path, errors), TEN_SECONDS)
    assert sum(map(sum, series.values())) == len(errors)
    assert {"refused", "refused (2)", "other errors", "other errors (2)"} < set(series)
    assert len(series) == 9


def test_row_groups_in_which_nothing_failed_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = ClosedRun.open(MadeRun(failure_share=0.0).close(tmp_path))
    monkeypatch.setattr(RunTable, "group", lambda *_: 1 / 0)
    assert read_error_series(run, TEN_SECONDS) == {}
