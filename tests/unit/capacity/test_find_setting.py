"""Conducting the search for limits: the answer with its evidence, resuming, budgets, and what cannot be measured."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadstone.capacity.find_setting import find_setting
from loadstone.capacity.study import StudyFolder
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion, StudyRecord, TrialRecord
from loadstone.capacity.trials import Interrupted, Trials
from loadstone.domain.units import MIB
from loadstone.rig.rig import Setting
from support.searching import Silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadstone.capacity.trial import TrialPlan

QUESTION = SettingQuestion(
    users=200,
    cpu_cores=(0.25, 0.5, 0.75, 1.0, 1.25),
    mem_bytes=(256 * MIB, 512 * MIB, 768 * MIB),
    replicas=(1, 2),
    price_cpu=1.0,
    price_memory=0.1,
    price_replica=0.0,
)
STUDY = StudyRecord(
    id="20261120-120000-bbbb",
    started_at="2026-11-20T12:00:00.000000Z",
    scenario=("scenario.py",),
    workload="0",
    host="http://target",
    rig="a target in a test",
    objectives=("p95<100ms",),
    question=QUESTION,
    measure_s=60.0,
    warmup_s=10.0,
)


class Target:
    """Needs ``cores`` in all and ``mib`` in each replica; trials of settings in ``invalid`` say nothing."""

    def __init__(self, cores: float = 0.6, mib: float = 300, *, measured: bool = True) -> None:
        self.cores, self.mib, self.measured = cores, mib, measured
        self.invalid: set[Setting] = set()
        self.asked: list[TrialPlan] = []

    def __call__(self, plan: TrialPlan) -> TrialRecord:
        assert plan.setting is not None
        self.asked.append(plan)
        setting = plan.setting
        base = TrialRecord(
            users=plan.users, window_s=plan.window_s, run=f"run-{len(self.asked)}", outcome="invalid", setting=setting
        )
        if setting in self.invalid:
            return replace(base, reasons=("worker 0 used 97 % of a core",))
        if setting.mem_bytes < self.mib * MIB:
            return replace(base, outcome="does not hold", broke=True, reasons=("target ran out of memory: 1 kill",))
        margin = 3 * log(self.cores / 0.85 / (setting.cpu_cores * setting.replicas)) or -0.01
        record = replace(
            base, outcome="holds" if margin < 0 else "does not hold", margin=margin, margin_se=0.02, rps=200.0
        )
        if not self.measured:
            return record
        used = min(self.cores / setting.replicas, setting.cpu_cores)
        return replace(record, cpu_cores=used, peak_mem_bytes=int(self.mib * MIB), idle_mem_bytes=100 * MIB)


def conducted(
    folder: Path,
    target: Callable[[TrialPlan], TrialRecord],
    study: StudyRecord = STUDY,
    why_not: Callable[[TrialPlan, int], str] = lambda _plan, _made: "",
) -> tuple[StudyRecord, SettingAnswerRecord]:
    done = find_setting(Trials(StudyFolder(folder), study, target, Silent(), why_not), QUESTION)
    assert StudyFolder(folder).read() == done
    assert isinstance(done.answer, SettingAnswerRecord)
    return done, done.answer


def test_the_cheapest_setting_is_answered_with_its_smaller_neighbour(tmp_path: Path):
    study, answer = conducted(tmp_path, Target())
    assert answer.setting == Setting(0.75, 512 * MIB, 1)
    assert answer.price == pytest.approx(0.8)
    assert (answer.proved, answer.smaller_fails, answer.open) == (True, True, "")
    assert [(each.setting, each.finding) for each in answer.smaller] == [(Setting(0.5, 512 * MIB, 1), "fails")]
    held = [trial for trial in study.trials if trial.setting == answer.setting]
    assert len(held) == answer.trials == 3
    assert {trial.outcome for trial in held} == {"holds"}


@pytest.mark.parametrize("until", [1, 3, 7])
def test_a_study_that_was_cut_off_goes_on_without_repeating_a_trial(tmp_path: Path, until: int):
    whole, _ = conducted(tmp_path / "whole", Target())
    target = Target()

    def cut_off(plan: TrialPlan) -> TrialRecord:
        if len(target.asked) == until:
            raise Interrupted
        return target(plan)

    with pytest.raises(Interrupted):
        conducted(tmp_path / "cut", cut_off)
    before = StudyFolder(tmp_path / "cut").read()
    assert len(before.trials) == until
    again, _ = conducted(tmp_path / "cut", target, before)
    assert again == whole
    assert len(target.asked) == len(whole.trials)


def test_when_the_largest_setting_fails_nothing_in_range_holds_and_that_is_proved(tmp_path: Path):
    study, answer = conducted(tmp_path, Target(cores=5))
    assert (answer.setting, answer.proved, answer.open) == (None, True, "")
    assert {trial.setting for trial in study.trials} == {Setting(1.25, 768 * MIB, 2)}


def test_where_nothing_is_clear_of_the_limits_the_answer_says_what_would_decide(tmp_path: Path):
    study, answer = conducted(tmp_path, lambda plan: replace(Target()(plan), margin=-0.5, margin_se=1.0))
    assert {trial.outcome for trial in study.trials} == {"holds"}
    assert (answer.setting, answer.proved) == (None, False)
    assert answer.open == (
        "the trials had too few requests, or were too near the limits, to prove anything; a new study"
        " with a longer --measure may decide it"
    )


def test_the_best_that_was_proved_is_answered_when_the_trials_are_used_up(tmp_path: Path):
    whole, found = conducted(tmp_path / "whole", Target())
    allowed = len(whole.trials) - 1
    _, answer = conducted(
        tmp_path, Target(), why_not=lambda _plan, made: "the trials were used up" if made >= allowed else ""
    )
    assert (answer.setting, answer.proved, answer.smaller_fails) == (found.setting, False, False)
    assert answer.open == "0.5 CPU and 512m x 1 replica could not be measured: the trials were used up"


def test_nothing_is_answered_that_was_not_proved_before_the_time_was_up(tmp_path: Path):
    _, answer = conducted(tmp_path, Target(), why_not=lambda _plan, made: "no time" if made >= 1 else "")
    assert (answer.setting, answer.proved) == (None, False)
    assert answer.open.endswith("could not be measured: no time")


def test_the_largest_setting_is_answered_as_open_when_no_more_was_proved_before_the_time_was_up(tmp_path: Path):
    _, answer = conducted(tmp_path, Target(), why_not=lambda _plan, made: "no time" if made >= 3 else "")
    assert (answer.setting, answer.trials, answer.proved) == (Setting(1.25, 768 * MIB, 2), 2, False)
    assert answer.open.endswith("could not be measured: no time")


def test_a_setting_whose_trials_stay_invalid_ends_the_search_after_three(tmp_path: Path):
    target = Target()
    target.invalid = {Setting(0.5, 512 * MIB, 1)}
    study, answer = conducted(tmp_path, target)
    assert (answer.setting, answer.proved) == (Setting(0.75, 512 * MIB, 1), False)
    assert answer.open == "0.5 CPU and 512m x 1 replica could not be measured: worker 0 used 97 % of a core"
    assert [trial.outcome for trial in study.trials].count("invalid") == 3


def test_where_nobody_measures_usage_cpu_is_found_for_the_one_size_of_memory(tmp_path: Path):
    one_size = replace(QUESTION, mem_bytes=(768 * MIB,))
    study = replace(STUDY, question=one_size)
    trials = Trials(StudyFolder(tmp_path), study, Target(measured=False), Silent())
    answer = find_setting(trials, one_size).answer
    assert isinstance(answer, SettingAnswerRecord)
    assert (answer.setting, answer.proved, answer.smaller_fails) == (Setting(0.75, 768 * MIB, 1), True, True)


def test_less_memory_is_left_open_where_nobody_measures_it(tmp_path: Path):
    _, answer = conducted(tmp_path, Target(measured=False))
    assert (answer.setting, answer.proved) == (Setting(0.75, 768 * MIB, 1), False)
    assert answer.open == "nobody measures the target's memory, so less than 768m was not tried"


def test_a_target_that_never_started_proves_nothing(tmp_path: Path):
    def never_starts(plan: TrialPlan) -> TrialRecord:
        return TrialRecord(
            users=plan.users,
            window_s=0.0,
            run="",
            outcome="does not hold",
            broke=True,
            reasons=("the registry cannot be reached",),
            setting=plan.setting,
        )

    _, answer = conducted(tmp_path, never_starts)
    assert (answer.setting, answer.proved) == (None, False)
    assert answer.open == "1.25 CPU and 768m x 2 replicas never started: the registry cannot be reached"


def test_what_was_invalid_is_tried_again_when_a_study_is_resumed(tmp_path: Path):
    target = Target()
    target.invalid = {Setting(0.5, 512 * MIB, 1)}
    before, open_answer = conducted(tmp_path, target)
    assert not open_answer.proved
    target.invalid = set()
    _, answer = conducted(tmp_path, target, before)
    assert (answer.setting, answer.proved, answer.smaller_fails) == (Setting(0.75, 512 * MIB, 1), True, True)


def test_memory_that_runs_out_is_answered_with_more(tmp_path: Path):
    _, answer = conducted(tmp_path, Target(mib=600))
    assert answer.setting == Setting(0.75, 768 * MIB, 1)
