"""The margin of a run: by how much it met its objectives, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.margin import margin_of
from loadstone.errors import UsageError
from support.closed_runs import MadeRun

if TYPE_CHECKING:
    from pathlib import Path


def made(results: Path, *objectives: str, **run: object) -> ClosedRun:
    return ClosedRun.open(MadeRun(seconds=40, rate=60, objectives=objectives, **run).close(results))


def test_the_margin_is_the_logarithm_of_value_over_limit(tmp_path: Path):
    run = made(tmp_path, "p95<100ms")
    (result,) = run.record.objectives
    assert result.value is not None
    assert margin_of(run).value == pytest.approx(log(result.value / 100))


def test_of_several_objectives_the_worst_counts(tmp_path: Path):
    run = made(tmp_path, "p95<1s", "mean<10ms", "rps>=1", "failures<=50%")
    margin = margin_of(run)
    assert margin.objective == "mean<10ms"
    assert margin.value > 0


def test_a_floor_that_is_met_has_a_negative_margin(tmp_path: Path):
    assert margin_of(made(tmp_path, "rps>=30")).value == pytest.approx(log(30 / 60), abs=0.1)


@pytest.mark.parametrize(
    ("share", "limit", "holds"),
    [
        (0.0, "failures<=1%", True),
        (0.05, "failures<=1%", False),
        (0.0, "failures==0", True),
        (0.05, "failures==0", False),
    ],
)
def test_failures_have_a_margin_even_when_there_are_none(tmp_path: Path, share: float, limit: str, *, holds: bool):
    margin = margin_of(made(tmp_path, limit, failure_share=share))
    assert (margin.value < 0) is holds
    assert np.isfinite(margin.value)


def test_fewer_requests_are_less_certain(tmp_path: Path):
    few = ClosedRun.open(
        MadeRun(run="20260920-120000-0001", seconds=20, rate=10, objectives=["p95<50ms"]).close(tmp_path)
    )
    many = ClosedRun.open(
        MadeRun(run="20260920-120000-0002", seconds=80, rate=200, objectives=["p95<50ms"]).close(tmp_path)
    )
    assert margin_of(few).se > 2 * margin_of(many).se


def test_the_standard_error_covers_what_other_runs_of_the_same_target_show(tmp_path: Path):
    margins = [
        margin_of(made(tmp_path, "p95<50ms", run=f"20260920-120000-{seed:04x}", seed=seed)) for seed in range(16)
    ]
    spread = float(np.std([each.value for each in margins]))
    assert 0.5 * spread < float(np.median([each.se for each in margins])) < 2 * spread


def test_one_request_name_is_judged_alone(tmp_path: Path):
    run = made(tmp_path, "p95[POST /predict]<50ms")
    assert margin_of(run).objective == "p95[POST /predict]<50ms"
    assert margin_of(run).se > margin_of(made(tmp_path, "p95<50ms", run="20260920-120000-bbbb")).se


@pytest.mark.parametrize("objective", ["p95<1s", "mean<10ms"])
def test_service_times_have_the_margin_of_response_times_under_the_closed_model(tmp_path: Path, objective: str):
    margin = margin_of(made(tmp_path, f"service.{objective}", run="20260920-120000-bbbb"))
    assert margin == replace(margin_of(made(tmp_path, objective)), objective=f"service.{objective}")


def test_what_was_not_measured_has_no_margin(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be decided"):
        margin_of(made(tmp_path, "cpu(nothing)<90%"))


def test_an_objective_that_was_not_measured_leaves_the_margin_to_the_others(tmp_path: Path):
    run = made(tmp_path, "cpu(nothing)<90%", "mean<10ms", "p95<1s")
    assert margin_of(run) == margin_of(made(tmp_path, "mean<10ms", run="20260920-120000-bbbb"))


def test_without_an_objective_there_is_no_margin(tmp_path: Path):
    with pytest.raises(UsageError, match="without objectives"):
        margin_of(made(tmp_path))


def test_failures_of_a_window_shorter_than_two_seconds_are_counted_whole(tmp_path: Path):
    run = ClosedRun.open(MadeRun(seconds=1, rate=60, objectives=["failures<=20%"], failure_share=0.0).close(tmp_path))
    assert margin_of(run).value < -2
