"""The interval of an objective's measured value: as wide as its seconds differ, and none where it says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.charts import confidence
from loadstone.charts.confidence import objective_intervals
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path


def intervals(tmp_path: Path, *objectives: str, seconds: int = 120, **made: object) -> list[tuple[float, float] | None]:
    run = ClosedRun.open(MadeRun(seconds=seconds, objectives=objectives, **made).close(tmp_path))
    texts = objective_intervals(run)
    assert len(texts) == len(objectives)
    return [None if text is None else tuple(map(float, text.split(" to "))) for text in texts]


def test_an_interval_contains_the_value_of_the_distribution_that_the_run_was_drawn_from(tmp_path: Path):
    p50, mean = intervals(tmp_path, "p50<500ms", "mean<500ms", sigma=0.5)
    assert p50[0] < 20 < p50[1]
    assert mean[0] < 20 * 2.718281828 ** (0.5**2 / 2) < mean[1]
    assert p50[1] - p50[0] < 4


def test_the_interval_of_a_percentile_that_varies_wildly_stays_above_zero_and_contains_it(tmp_path: Path):
    ((low, high),) = intervals(tmp_path, "p99<9s", seconds=30, rate=5, sigma=2.5)
    assert 0 < low < 20 * 2.718281828 ** (2.5 * 2.326) < high


def test_fewer_requests_make_it_wider(tmp_path: Path):
    (many,), (few,) = (intervals(tmp_path / str(rate), "p95<500ms", rate=rate) for rate in (100, 5))
    assert few[1] - few[0] > 2 * (many[1] - many[0])


def test_a_share_of_failures_has_one_even_if_nothing_failed(tmp_path: Path):
    assert intervals(tmp_path, "failures<=5%", failure_share=0.0, rate=10) == [(0.0, pytest.approx(0.55, abs=0.02))]


@pytest.mark.parametrize("objective", ["failures<=10", "max<60s", "count>=1", "cpu(target)<90%", "p95[nothing]<1s"])
def test_what_was_counted_or_measured_once_or_not_at_all_has_none(tmp_path: Path, objective: str):
    assert intervals(tmp_path, objective, seconds=20) == [None]


def test_one_of_a_single_name_is_of_that_name(tmp_path: Path):
    both, one = intervals(tmp_path, "rps>=1", "rps[GET /]>=1")
    assert both == pytest.approx((40, 40), rel=0.1)
    assert one == pytest.approx((20, 20), rel=0.1)


def test_a_run_that_is_very_large_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confidence, "_MOST_ROWS", 10)
    assert intervals(tmp_path, "p95<500ms", "failures<=5%") == [None, pytest.approx((0.5, 1.5), abs=0.5)]
