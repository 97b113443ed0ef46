"""The laboratory: what a failed start says, and room for the load generator; its rig and its runs are doubles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from loadstone.capacity.study import StudyFolder
from loadstone.capacity.study_record import SettingQuestion
from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.trials import Interrupted, Trials
from loadstone.capacity.view import StudyView
from loadstone.cli.common import StopFlag
from loadstone.cli.trials import Laboratory
from loadstone.errors import PlatformError, UsageError
from loadstone.rig.host_room import check_room
from loadstone.rig.rig import Applied, BrokeAtStart, Setting, StartFailedError
from loadstone.settings import CapacitySettings, load
from support.closed_runs import closed
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.studies import BEGUN_USERS_STUDY, SETTINGS_STUDY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from loadstone.capacity.study_record import TrialRecord

MIB = 1024**2
SETTING = Setting(0.5, 256 * MIB, 1)
PLAN = TrialPlan(users=5, window_s=20.0, setting=SETTING)


class RigDouble:
    """Stands for a rig on a machine of two cores; the target does not start if there is an ``error``."""

    name, service = "a double", None

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        check_room(settings, host_cores=2, host_mem_bytes=1024 * MIB, kept_cores=kept_cores)

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        pass

    def before(self) -> Mapping[str, Any]:
        return {"was": "there"}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        if self.error:
            raise self.error
        return Applied(setting=setting, read_back="a double")

    def restore(self, before: Mapping[str, Any]) -> str:
        return "restored"


class RunsDouble:
    """Stands for runs of five users whose worker uses so much of a core."""

    def __init__(self, results: Path, cpu_pct: float = 30.0, static_host: str | None = None) -> None:
        self.results, self.cpu_pct, self.static_host = results, cpu_pct, static_host
        self.made: list[str | None] = []
        self.objectives: list[tuple[str, ...]] = []

    def await_idle(self, settings: CapacitySettings) -> None:
        pass

    def __call__(self, settings: CapacitySettings, applied: Applied | None) -> RunFolder:
        self.made.append(settings.host)
        self.objectives.append(settings.objective)
        run = f"20260920-120000-{len(self.made):04x}"
        worker, maker = IncarnationMaker(run=run), RunMaker(run=run).started(users=5, objectives=settings.objective)
        for second in range(20):
            maker.add(worker.batch(samples(20, second, second + 1), cpu_pct=self.cpu_pct))
        maker.stopped(20).add(worker.batch(at_s=20.1, final=True))
        return closed(self.results / run, maker.entries, 20)


def laboratory(
    rig: RigDouble, runs: RunsDouble, stop: StopFlag | None = None, objective: tuple[str, ...] = ("p95<500ms",)
) -> Laboratory:
    settings = load(CapacitySettings, {"objective": "\n".join(objective)}, environ={})
    return Laboratory(settings, runs, rig, stop or StopFlag(), SETTINGS_STUDY)


def study_of(folder: Path, *cpu_cores: float) -> Trials:
    """A study of these settings that begins."""
    question = SettingQuestion(
        users=5,
        cpu_cores=cpu_cores,
        mem_bytes=(256 * MIB,),
        replicas=(1, 2),
        price_cpu=1.0,
        price_memory=0.1,
        price_replica=0.0,
    )
    study = structs.replace(SETTINGS_STUDY, question=question, trials=(), answer=None, calibration=None)

    def run_trial(plan: TrialPlan) -> TrialRecord:
        raise NotImplementedError(plan)

    return Trials(StudyFolder(folder), study, run_trial, StudyView(study))


def failed_start(error: Exception, folder: Path, stop: StopFlag | None = None) -> TrialRecord:
    return laboratory(RigDouble(error), RunsDouble(folder), stop).run(PLAN)


def test_limits_that_break_a_start_are_shown_not_to_hold(tmp_path: Path):
    record = failed_start(BrokeAtStart("the kernel killed it"), tmp_path)
    assert (record.outcome, record.broke, record.run, record.setting) == ("does not hold", True, "", SETTING)
    assert record.reasons == ("the kernel killed it",)


def test_a_start_that_failed_for_another_reason_is_an_invalid_trial_which_says_what_to_mend(tmp_path: Path):
    record = failed_start(StartFailedError("it ended (exit 1)", hint="Its log says why"), tmp_path)
    assert (record.outcome, record.broke, record.margin, record.run) == ("invalid", False, None, "")
    assert (record.setting, record.window_s) == (SETTING, 0.0)
    assert record.reasons == ("it ended (exit 1). Its log says why",)


def test_limits_that_cannot_be_given_are_an_error(tmp_path: Path):
    with pytest.raises(PlatformError, match="no cluster"):
        failed_start(PlatformError("no cluster"), tmp_path)


@pytest.mark.parametrize("error", [BrokeAtStart("it was ended"), StartFailedError("it was ended")])
def test_a_start_that_was_interrupted_says_nothing(tmp_path: Path, error: Exception):
    stop = StopFlag()
    stop.count = 1
    with pytest.raises(Interrupted):
        failed_start(error, tmp_path, stop)


@pytest.mark.parametrize(
    ("limits", "made", "may"),
    [
        ({"trials": "4"}, 1, True),
        ({"trials": "4"}, 2, False),
        ({"budget": "296s", "warmup": "2s"}, 0, True),  # 30 s, two of 100 s, and 22 s beside each
        ({"budget": "295s", "warmup": "2s"}, 0, False),
    ],
)
def test_a_trial_may_begin_if_there_is_time_for_those_that_have_to_follow(
    tmp_path: Path, limits: dict[str, str], made: int, may: bool
):
    settings = load(CapacitySettings, {"objective": "p95<1s", **limits}, environ={})
    here = Laboratory(settings, RunsDouble(tmp_path), None, StopFlag(), BEGUN_USERS_STUDY)
    here._begun_s += 0.5  # what this test itself takes
    plan = TrialPlan(users=5, window_s=30.0, then=(TrialPlan(users=4, window_s=100.0),) * 2)
    assert (here.why_not(plan, made) == "") is may
    assert here.why_not(replace(plan, then=()), made) == ""


NOBODY = (
    "the load generator is not measured by itself here, as it is in the stack; the first trial shows what CPU it needs"
)


def test_without_an_answer_at_no_cost_it_is_said_why_nothing_is_kept_for_the_generator(tmp_path: Path):
    notes: list[str] = []
    made, runs = study_of(tmp_path / "s", 0.5, 1.0), RunsDouble(tmp_path)
    laboratory(RigDouble(), runs).prepare(made, notes.append, resumed=False)
    assert notes == [NOBODY]
    assert runs.made == []
    assert (made.study.before, made.study.calibration) == ({"was": "there"}, None)


def test_limits_that_do_not_fit_beside_a_generator_that_only_a_trial_could_measure_are_refused(tmp_path: Path):
    fits, does_not = (TrialPlan(users=5, window_s=20.0, setting=Setting(cores, 256 * MIB, 2)) for cores in (0.85, 0.86))
    here = laboratory(RigDouble(), RunsDouble(tmp_path, cpu_pct=30.0))
    here.prepare(study_of(tmp_path / "s", 0.5, 1.0), lambda _: None, resumed=False)
    assert here.run(fits).outcome == "holds"
    with pytest.raises(UsageError, match=r"1.72 cores, and this machine has 2, of which 0.3 is kept for the load"):
        here.run(does_not)


def test_a_generator_that_was_measured_is_kept_free_and_not_judged_by_a_trial_again(tmp_path: Path):
    notes: list[str] = []
    runs = RunsDouble(tmp_path, cpu_pct=20.0, static_host="http://static")
    here, made = laboratory(RigDouble(), runs), study_of(tmp_path / "s", 0.5, 0.9)
    here.prepare(made, notes.append, resumed=False)
    assert runs.made == ["http://static"]
    assert made.study.calibration is not None
    assert made.study.calibration.cores == 0.2
    assert notes[0].startswith("the generator alone: 20 requests/s")
    runs.cpu_pct = 60.0
    assert here.run(TrialPlan(users=5, window_s=20.0, setting=Setting(0.9, 256 * MIB, 2))).outcome == "holds"


def test_a_generator_is_measured_with_the_objectives_that_also_limit_its_lag(tmp_path: Path):
    runs = RunsDouble(tmp_path, static_host="http://static")
    objective = ("p95<500ms", "failures<=1%", "cpu(target)<80%", "rps>=10", "max<60s")
    here = laboratory(RigDouble(), runs, objective=objective)
    here.prepare(study_of(tmp_path / "s", 0.5, 0.8), lambda _: None, resumed=False)
    assert runs.objectives == [("p95<500ms", "max<60s")]


def test_a_study_that_was_refused_beside_its_generator_is_so_when_it_is_resumed(tmp_path: Path):
    made, runs = study_of(tmp_path / "s", 0.5, 1.0), RunsDouble(tmp_path, static_host="http://static")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"2 cores, and this machine has 2, of which 0.3 is kept for the load"):
            laboratory(RigDouble(), runs).prepare(made, lambda _: None, resumed=False)
    assert runs.made == ["http://static"]
