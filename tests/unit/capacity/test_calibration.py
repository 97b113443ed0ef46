"""Calibration: what a run against an answer that costs nothing says of the generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.calibration import calibrated, calibration_text
from loadstone.capacity.load import Load
from loadstone.errors import UsageError
from support.closed_runs import MadeRun, closed
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20260920-120000-aaaa"
SECONDS = 20
PER_SECOND = 50


def run_of(results: Path, *cpu_pct: float, ends: bool = True, objectives: tuple[str, ...] = ()) -> ClosedRun:
    """A run of five users and one worker for each of these shares of a core; the master may not report its end."""
    maker = RunMaker(run=RUN).started(users=5, objectives=list(objectives))
    workers = [IncarnationMaker(run=RUN, worker=number) for number in range(len(cpu_pct))]
    for second in range(SECONDS):
        for worker, busy in zip(workers, cpu_pct, strict=True):
            maker.add(worker.batch(samples(PER_SECOND, second, second + 1), cpu_pct=busy))
    if ends:
        maker.stopped(SECONDS)
    for worker in workers:
        maker.add(worker.batch(at_s=SECONDS + 0.1, final=True))
    return ClosedRun.open(closed(results / RUN, maker.entries, SECONDS))


def test_the_ceiling_is_that_of_the_busiest_worker(tmp_path: Path):
    found = calibrated(run_of(tmp_path, 20.0, 40.0), Load(5))
    assert found.run == RUN
    assert found.rps == pytest.approx(2 * PER_SECOND, rel=0.06)
    assert found.worker_cpu_pct == pytest.approx(40)
    assert found.cores == pytest.approx(0.6)
    assert found.ceiling_rps == pytest.approx(found.rps / 0.4)
    assert found.doubts == ()
    assert "its busiest worker at 40 % of a core" in calibration_text(found)


def test_an_inconclusive_run_measures_no_ceiling_and_says_why(tmp_path: Path):
    found = calibrated(run_of(tmp_path, 20.0, 40.0, ends=False), Load(5))
    assert (found.ceiling_rps, found.cores) == (None, pytest.approx(0.6))
    assert found.doubts[0] == "master lost: it never reported the end of the run"
    said = calibration_text(found)
    assert f"the generator alone could not be measured: run {RUN} is inconclusive: master lost: it never" in said
    assert "at most" not in said


def test_a_worker_that_is_too_busy_even_then_is_refused_with_the_cure(tmp_path: Path):
    with pytest.raises(UsageError, match=r"worker 1 used 85 % of a core at 10\d requests/s.*Add workers"):
        calibrated(run_of(tmp_path, 20.0, 85.0), Load(5))


def test_a_generator_that_misses_an_objective_by_itself_is_refused(tmp_path: Path):
    assert calibrated(run_of(tmp_path / "held", 20.0, objectives=("p95<5s",)), Load(5)).ceiling_rps
    with pytest.raises(
        UsageError, match=r"against an answer that costs nothing, p95 is .* must be < 1 ms .*cores of its"
    ):
        calibrated(run_of(tmp_path / "missed", 20.0, objectives=("p95<1ms",)), Load(5))


def test_users_that_did_not_run_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"does not carry 500 users: 5 ran against"):
        calibrated(run_of(tmp_path, 20.0), Load(500))


@pytest.mark.parametrize(("not_sent", "is_carried"), [(9, True), (11, False)])
def test_a_rate_whose_arrivals_were_not_all_sent_is_refused(tmp_path: Path, not_sent: int, is_carried: bool):
    run = ClosedRun.open(MadeRun(seconds=20, rate=50, late_ms=1.0, not_sent=not_sent).close(tmp_path))
    load = Load(50, is_rate=True)
    if is_carried:
        assert calibrated(run, load).rps == pytest.approx(50, rel=0.05)
        return
    with pytest.raises(UsageError) as refused:
        calibrated(run, load)
    assert str(refused.value).startswith(
        "the generator does not carry 50 arrivals a second: 1,000 of 1,011 arrivals were sent against an answer"
    )
    assert str(refused.value).endswith("Add workers on other machines, or ask for a lower rate")


def test_a_scenario_that_sends_nothing_there_measures_nothing(tmp_path: Path):
    maker = RunMaker(run=RUN).started(users=5, objectives=[])
    worker = IncarnationMaker(run=RUN, worker=0)
    maker.add(worker.batch(at_s=1.0, cpu_pct=20.0)).stopped(SECONDS).add(worker.batch(at_s=SECONDS + 0.1, final=True))
    found = calibrated(ClosedRun.open(closed(tmp_path / RUN, maker.entries, SECONDS)), Load(0))
    assert (found.rps, found.ceiling_rps) == (0, None)
    assert "could not be measured" in calibration_text(found)
    assert "no request at all in the window" in calibration_text(found)
