"""What counts for the budget of a study, and what a plan says of its time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from loadstone.capacity.study_record import CalibrationRecord, TrialRecord
from loadstone.cli.study_plan import print_plan, refuse_hopeless_budget
from loadstone.cli.trials import calibration_takes_s, overhead_s, used_s
from loadstone.errors import UsageError
from loadstone.settings import CapacitySettings, load
from support.studies import BEGUN_USERS_STUDY

LIMITS = {"cpu": "0.5..1", "memory": "512m", "objective": ["p95<1s"], "users": "50"}
TRIAL = TrialRecord(users=50, window_s=60.0, run="a", outcome="holds", margin=-1.0)
CALIBRATION = CalibrationRecord(run="b", rps=9.0, p95_ms=1.0, worker_cpu_pct=5.0, ceiling_rps=180.0, cores=0.1)
STUDY = replace(BEGUN_USERS_STUDY, measure_s=60.0)


def settings(**more: Any) -> CapacitySettings:
    return load(CapacitySettings, {**LIMITS, **more}, environ={})


def test_earlier_trials_count_with_what_they_take_beside_their_windows():
    beside_s = overhead_s(settings(), with_rig=False)
    assert used_s(STUDY, settings()) == 0.0
    assert used_s(replace(STUDY, trials=(TRIAL, TRIAL)), settings()) == pytest.approx(2 * (60.0 + beside_s))


def test_the_measurement_of_the_generator_counts_once():
    assert calibration_takes_s(settings()) == 50.0  # ramp, warm-up, 20 s, start and end
    assert used_s(replace(STUDY, calibration=CALIBRATION), settings()) == 50.0


def minutes_of_plan(printed: str) -> str:
    return next(line for line in printed.splitlines() if line.startswith("time: "))


def test_a_plan_for_the_stack_counts_the_generator_too(capsys: pytest.CaptureFixture[str]):
    def time_of(**more: Any) -> str:
        print_plan(settings(measure="10m", **more))
        return minutes_of_plan(capsys.readouterr().out)

    assert time_of(apply="x") != time_of(stack="yes")


@pytest.mark.parametrize(
    ("objectives", "text"),
    [
        (["p95<1s"], "near its limit p95<1s needs 1,000 requests to be decided: where they take longer, "),
        (["p99.9<1s"], "near its limit p99.9<1s needs 50,000 requests "),
        (["p95<1s", "failures<=0.1%"], "near its limit failures<=0.1% needs 6,000 requests "),
        (["mean<1s"], "near its limit failures<=1% needs 600 requests "),
    ],
)
def test_a_plan_says_which_trials_may_be_longer(capsys: pytest.CaptureFixture[str], objectives: list[str], text: str):
    print_plan(settings(apply="x", objective=objectives))
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("objective", ["p100<1s", "mean<1s"])
def test_a_plan_whose_objectives_need_no_number_of_requests_says_nothing_of_longer_trials(
    capsys: pytest.CaptureFixture[str], objective: str
):
    print_plan(settings(apply="x", objective=[objective, "failures<=10"]))
    assert "near its limit" not in capsys.readouterr().out


@pytest.mark.parametrize(("trials", "text"), [("1", "1 trial cannot decide this"), ("2", "2 trials cannot decide")])
def test_trials_are_counted_in_words(trials: str, text: str):
    with pytest.raises(UsageError, match=text):
        refuse_hopeless_budget(settings(apply="x", trials=trials))
