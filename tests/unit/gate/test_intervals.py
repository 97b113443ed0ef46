"""Intervals: Wilson's own figures, merged histograms, and seconds in which nothing happened."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.seconds import read_seconds
from loadstone.domain import bootstrap
from loadstone.domain.bootstrap import Resampled, percentile_us, share_difference, wilson
from loadstone.domain.request_name import RequestName
from loadstone.domain.run_seconds import ALL, RunSeconds
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path


def test_wilson_gives_the_figures_of_the_literature(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "CONFIDENCE", 0.95)
    found = wilson(81, 263)  # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_newcombe_gives_the_figures_of_the_literature(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "CONFIDENCE", 0.95)
    found = share_difference((48, 80), (56, 70))  # Newcombe (1998), "Interval estimation", table II, contrast (a)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize("failed", [0, 20])
def test_a_share_of_none_or_all_has_an_interval_that_stays_a_share(failed: int):
    found = wilson(failed, 20)
    assert 0 <= found.low < found.high <= 1


def test_no_request_leaves_every_share_possible():
    assert wilson(0, 0) == bootstrap.Interval(0, 1)


def test_the_percentile_of_all_seconds_is_the_one_run_json_gives(tmp_path: Path):
    run = ClosedRun.open(MadeRun(seconds=20).close(tmp_path))
    seconds = read_seconds(run)
    assert len(seconds[ALL]) == run.record.window.seconds == 20
    assert percentile_us(seconds[ALL], 95) / 1000 == run.record.summary.window.total.p95_ms
    assert (
        seconds[RequestName("POST", "/predict")].n.sum() + seconds[RequestName("GET", "/")].n.sum()
        == seconds[ALL].n.sum()
        == 800
    )


def same(one: RunSeconds, other: RunSeconds) -> bool:
    return all(np.array_equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(RunSeconds))


def test_only_the_seconds_of_the_names_that_are_asked_for_are_made_and_they_are_the_same(tmp_path: Path):
    run = ClosedRun.open(MadeRun(seconds=20).close(tmp_path))
    every, predict = read_seconds(run), RequestName("POST", "/predict")
    assert list(every) == [ALL, RequestName("GET", "/"), predict]
    for names, expected in (((), [ALL]), (["/predict"], [ALL, predict]), (["POST /predict"], [ALL, predict])):
        found = read_seconds(run, names=names)
        assert list(found) == expected
        assert all(same(found[name], every[name]) for name in expected)


def test_seconds_that_would_take_too_much_memory_are_not_made(tmp_path: Path):
    run = ClosedRun.open(MadeRun(seconds=20).close(tmp_path))
    cells = sum(each.counts.size for each in read_seconds(run).values())
    assert read_seconds(run, most_cells=cells)
    assert read_seconds(run, most_cells=cells - 1) == {}


def test_a_run_without_a_request_has_no_percentile():
    nothing = np.zeros(10, np.int64)
    empty = RunSeconds(nothing, nothing, nothing, np.zeros(0, np.int64), np.zeros((10, 0), np.int64))
    assert np.isnan(percentile_us(empty, 95))
    assert np.isnan(Resampled(empty, stream=0).percentiles_us(95)).all()
    assert np.isnan(Resampled(empty, stream=0).means_us()).all()


def test_a_run_that_never_varies_has_an_interval_of_no_width():
    ones = np.full(30, 5, np.int64)
    steady = RunSeconds(ones, ones * 0, ones * 100, np.array([100]), ones.reshape(-1, 1))
    drawn = Resampled(steady, stream=0).percentiles_us(95)
    assert set(drawn) == {100.0}
