"""The interval of an objective's measured value: as wide as its seconds differ, and none where it says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.charts import confidence
from loadstone.charts.confidence import objective_intervals
from support.closed_runs import MadeRun, closed
from support.run_maker import IncarnationMaker, RunMaker, Sample

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
    ((low, high),) = intervals(tmp_path, "p90<9s", seconds=30, rate=10, sigma=2.5)
    assert 0 < low < 20 * 2.718281828 ** (2.5 * 1.2816) < high


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


def test_a_run_that_is_very_large_has_none_unless_nothing_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confidence, "_MOST_CELLS", 100)
    assert intervals(tmp_path / "some", "p95<500ms", "failures<=5%") == [None, None]
    assert intervals(tmp_path / "none", "failures<=5%", failure_share=0.0) == [(0.0, pytest.approx(0.14, abs=0.01))]


def test_seconds_are_read_only_where_an_objective_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confidence, "read_seconds", lambda *_, **__: 1 / 0)
    needless = ["failures<=5%", "failures<=9", "count>=1", "max<9s", "cpu(target)<90%", "service.p95<9s"]
    assert intervals(tmp_path, *needless, failure_share=0.0)[1:] == [None] * 5


def test_a_run_that_is_too_short_has_none(tmp_path: Path):
    assert intervals(tmp_path / "4", "p50<9s", "mean<9s", "rps>=1", "failures<=50%", seconds=4, failure_share=0.3) == (
        [None] * 4
    )
    assert None not in intervals(tmp_path / "5", "p50<9s", "mean<9s", "rps>=1", "failures<=50%", seconds=5)


def test_a_percentile_beyond_which_there_are_fewer_than_ten_requests_has_none(tmp_path: Path):
    found = intervals(tmp_path, "p100<9s", "p99<9s", "p98<9s", "p1<9s", "p2<9s", seconds=20, rate=40)
    assert [each is None for each in found] == [True, True, False, True, False]


def run_with(tmp_path: Path, samples: list[Sample], *objectives: str) -> list[str | None]:
    """The intervals of a run of a minute, in which these requests ended."""
    made, incarnation = RunMaker().started(objectives=list(objectives)), IncarnationMaker()
    made.add(incarnation.batch(samples, at_s=61.5, final=True))
    return objective_intervals(ClosedRun.open(closed(tmp_path / "r", made.stopped(60).entries, 61)))


STEADY = [Sample(0.05 + at / 20, 20_000 + 100 * (at % 7)) for at in range(60 * 20 - 2)]


def test_a_value_that_requests_in_flight_have_raised_has_none(tmp_path: Path):
    late = [Sample(60.3 + at / 1e6, 600_000) for at in range(100)]
    latency, rate = run_with(tmp_path, [*STEADY, *late], "p95<500ms", "rps>=1")
    assert latency is None
    assert rate is not None


def test_a_value_that_requests_in_flight_did_not_change_has_one(tmp_path: Path):
    assert None not in run_with(tmp_path, [*STEADY, Sample(60.01, 20_300)], "p95<500ms", "mean<1s")


def test_failures_that_cluster_have_a_wider_interval_than_as_many_that_do_not(tmp_path: Path):
    failed = range(400, 460)  # three seconds
    together = [replace(each, error="refused") if at in failed else each for at, each in enumerate(STEADY)]
    apart = [each if at % 20 else replace(each, error="refused") for at, each in enumerate(STEADY)]
    (one,), (other,) = (
        run_with(tmp_path / name, made, "failures<=50%") for name, made in (("one", together), ("two", apart))
    )
    (low, high), (least, most) = ([float(each) for each in text.split(" to ")] for text in (one, other))
    assert low < 1
    assert high > 12
    assert (least, most) == (pytest.approx(3.6, abs=0.1), pytest.approx(6.9, abs=0.1))  # Wilson's


def test_failures_of_requests_in_flight_are_in_no_second(tmp_path: Path):
    late = [Sample(60.5, 600_000, error="timed out")]
    assert run_with(tmp_path, [*STEADY, *late], "failures<=50%") == [None]
