"""Laboratory: a trial counts only if its target is that of the study's other trials; commands give the limits.

Where runs take place is a double, which leaves the folders of runs; whole studies are in `tests/processes/runs`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadstone.capacity.study import StudyFolder
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import OutOfReach, Trials
from loadstone.cli.common import StopFlag
from loadstone.cli.trials import Laboratory
from loadstone.errors import UsageError
from loadstone.rig.command import CommandRig
from loadstone.settings import CapacitySettings, load
from support.closed_runs import MadeRun
from support.searching import Silent
from support.studies import TOP, settings_study

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from loadstone.capacity.study_record import StudyRecord, TrialRecord
    from loadstone.rig.rig import Applied

USERS = 5


class RunsDouble:
    """Stands for the place where runs are made: each is over at once, and of what was applied."""

    static_host = None

    def __init__(self, results: Path) -> None:
        self.results, self.made = results, 0
        self.scenario = "sha256:0"

    def await_idle(self, settings: CapacitySettings) -> None:
        """Nothing is left."""

    def __call__(self, settings: CapacitySettings, applied: Applied | None) -> RunFolder:
        self.made += 1
        identity = {"scenario": {"files": ["scenario.py"], "digest": self.scenario}}
        identity |= {"target": dict(applied.identity)} if applied else {}
        run = f"20260920-1200{self.made:02d}-aaaa"
        return MadeRun(run=run, seconds=40, rate=60, users=USERS, identity=identity).close(self.results)


class Bench:
    """A study whose target says of itself what ``version`` says."""

    def __init__(self, folder: Path) -> None:
        self.study = StudyFolder(folder / "studies" / "s")
        self.runs = RunsDouble(folder)
        self._told = folder / "told"
        self._settings = load(CapacitySettings, {"results": str(folder), "objective": ["p95<500ms"]}, environ={})
        self.is_version(1)

    def is_version(self, version: int) -> None:
        self._told.write_text(json.dumps({"identity": {"version": version, "pods": [self.runs.made]}}))

    def begun(self, study: StudyRecord) -> Trials:
        """The study, in a process of its own as far as the laboratory knows."""
        rig = CommandRig(f"cat {self._told}")
        laboratory = Laboratory(self._settings, self.runs, rig, StopFlag(), study)
        made = Trials(self.study, study, laboratory.run, Silent())
        made.write()
        laboratory.prepare(made, lambda _: None, resumed=True)
        return made

    def trial(self, made: Trials) -> TrialRecord:
        made.valid(TrialPlan(users=USERS, window_s=10.0, setting=TOP))
        return made.study.trials[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


NEW = settings_study(trials=(), answer=None, calibration=None)


def test_a_study_keeps_what_its_target_is(bench: Bench):
    made = bench.begun(NEW)
    assert bench.trial(made).outcome == "holds"
    assert bench.study.read().identity == {"version": "1", "scenario": "sha256:0"}
    assert bench.trial(made).outcome == "holds"


def test_an_invalid_trial_does_not_tell_what_the_target_is(bench: Bench):
    with pytest.raises(OutOfReach, match="only 5 of 6 users ran"):
        bench.begun(NEW).valid(TrialPlan(users=USERS + 1, window_s=10.0, setting=TOP))
    assert bench.study.read().identity == {}
    bench.is_version(2)
    assert bench.trial(bench.begun(bench.study.read())).outcome == "holds"


def test_a_study_goes_on_with_the_same_target_only(bench: Bench):
    bench.trial(bench.begun(NEW))
    bench.is_version(2)
    kept = bench.study.read()
    with pytest.raises(UsageError, match=r"were of another target: version was 1 and is 2 now\. .*begin a new study"):
        bench.begun(kept).valid(TrialPlan(users=USERS, window_s=10.0, setting=settings_study().trials[1].setting))
    assert bench.runs.made == 1
    assert bench.study.read().trials == kept.trials


def test_a_study_goes_on_with_the_same_scenario_only(bench: Bench):
    bench.trial(bench.begun(NEW))
    bench.runs.scenario = "sha256:1"
    with pytest.raises(UsageError, match="scenario was sha256:0 and is sha256:1 now"):
        bench.begun(bench.study.read()).valid(
            TrialPlan(users=USERS, window_s=10.0, setting=settings_study().trials[1].setting)
        )


def test_a_target_that_changes_during_a_study_makes_a_trial_invalid(bench: Bench):
    made = bench.begun(NEW)
    bench.trial(made)
    bench.is_version(2)
    with pytest.raises(OutOfReach, match="the target was another one: version was 1 and is 2 now"):
        bench.trial(made)
    assert [each.outcome for each in made.study.trials] == ["holds", *["invalid"] * 3]
    assert made.study.identity["version"] == "1"


def test_a_study_of_before_takes_over_what_its_target_is(bench: Bench):
    made = bench.begun(settings_study(answer=None, calibration=None))
    assert made.study.identity == {}
    made.valid(TrialPlan(users=USERS, window_s=10.0, setting=TOP))
    assert bench.study.read().identity == {"version": "1", "scenario": "sha256:0"}
