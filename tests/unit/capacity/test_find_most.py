"""Finding the most users: every trial is written down, a study goes on where it was, and says what is left open."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from loadstone.capacity.find_most import find_most
from loadstone.capacity.study import StudyFolder
from loadstone.capacity.study_record import StudyRecord, TrialRecord, UsersAnswerRecord, UsersQuestion
from loadstone.capacity.trials import Interrupted, Trials
from loadstone.capacity.view import answer_text, exit_code, print_study
from loadstone.errors import ExitCode
from support.searching import Silent
from support.studies import BEGUN_USERS_STUDY as STUDY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadstone.capacity.trial import TrialPlan


AIM = "95 % of requests in less than 100 ms"


class Target:
    """Holds ``most`` users; above ``valid`` of them trials are invalid, and ``invalid_first`` ones are so anyway.

    ``objective`` is the one that is nearest to its limit.
    """

    def __init__(self, most: int, valid: int = 1_000_000, invalid_first: int = 0, objective: str = "p95<100ms") -> None:
        self.most, self.valid, self.invalid_first, self.objective = most, valid, invalid_first, objective
        self.rps_per_user = 0.5
        self.asked: list[TrialPlan] = []

    def __call__(self, plan: TrialPlan) -> TrialRecord:
        self.asked.append(plan)
        base = TrialRecord(users=plan.users, window_s=plan.window_s, run=f"run-{len(self.asked)}", outcome="invalid")
        if plan.users > self.valid or len(self.asked) <= self.invalid_first:
            return replace(base, reasons=("worker 0 used 97 % of a core", "more"))
        margin = 3 * log(plan.users / (self.most + 0.5))
        rps = plan.users * self.rps_per_user
        outcome = "holds" if margin < 0 else "does not hold"
        return replace(base, outcome=outcome, margin=margin, margin_se=0.001, objective=self.objective, rps=rps)


def conduct_users(
    folder: StudyFolder,
    study: StudyRecord,
    target: Callable[[TrialPlan], TrialRecord],
    time_is_up: Callable[[TrialPlan], bool] = lambda _: False,
) -> StudyRecord:
    def why_not(plan: TrialPlan, _: int) -> str:
        return "there was no time left" if time_is_up(plan) else ""

    assert isinstance(study.question, UsersQuestion)
    return find_most(Trials(folder, study, target, Silent(), why_not), study.question)


def users_answer(study: StudyRecord) -> UsersAnswerRecord:
    assert isinstance(study.answer, UsersAnswerRecord)
    return study.answer


def between(least: int, most: int = 100_000) -> StudyRecord:
    return replace(STUDY, question=UsersQuestion(at_least=least, at_most=most, first=50))


def conducted(tmp_path: Path, target: Callable[[TrialPlan], TrialRecord], study: StudyRecord = STUDY) -> StudyRecord:
    return conduct_users(StudyFolder(tmp_path / "s"), study, target)


def test_the_answer_and_every_trial_are_written_down(tmp_path: Path):
    target = Target(323)
    study = conducted(tmp_path, target)
    assert users_answer(study).proved
    assert users_answer(study).holds is not None
    assert 300 <= users_answer(study).holds <= 323
    assert StudyFolder(tmp_path / "s").read() == study
    assert [trial.run for trial in study.trials] == [f"run-{n}" for n in range(1, len(target.asked) + 1)]
    assert exit_code(study) is ExitCode.PASS
    assert answer_text(study).startswith(f"The target holds {users_answer(study).holds} users ({AIM}). ")


@pytest.mark.parametrize("until", [1, 4, 8])
def test_a_study_that_was_cut_off_goes_on_without_repeating_a_trial(tmp_path: Path, until: int):
    whole = conducted(tmp_path / "whole", Target(323, invalid_first=2))
    target = Target(323, invalid_first=2)

    def cut_off(plan: TrialPlan) -> TrialRecord:
        if len(target.asked) == until:
            raise Interrupted
        return target(plan)

    with pytest.raises(Interrupted):
        conducted(tmp_path, cut_off)
    folder = StudyFolder(tmp_path / "s")
    assert len(folder.read().trials) == until
    assert conduct_users(folder, folder.read(), target) == whole
    assert len(target.asked) == len(whole.trials)


def test_an_invalid_trial_is_repeated_and_never_counts(tmp_path: Path):
    study = conducted(tmp_path, Target(323, invalid_first=2))
    assert [trial.outcome for trial in study.trials[:3]] == ["invalid", "invalid", "holds"]
    assert [trial.users for trial in study.trials[:3]] == [50, 50, 50]


def test_what_the_generator_cannot_measure_leaves_the_answer_open(tmp_path: Path):
    study = conducted(tmp_path, Target(5_000, valid=900))
    found = users_answer(study)
    assert (found.holds, found.not_held, found.proved) == (800, None, False)
    assert [(trial.users, trial.outcome) for trial in study.trials[-4:]] == [(1600, "invalid")] * 3 + [(800, "holds")]
    assert study.trials[-1].window_s == 120.0
    assert exit_code(study) is ExitCode.INCONCLUSIVE
    assert answer_text(study) == (
        f"The target holds at least 800 users ({AIM}). Whether it holds more is open:"
        " 1,600 users could not be measured: worker 0 used 97 % of a core (and 1 more)."
    )


def test_what_was_tried_is_told_again_by_its_level_and_not_by_its_place(tmp_path: Path):
    folder, target = StudyFolder(tmp_path / "s"), Target(323)
    cut = conduct_users(folder, STUDY, target, lambda plan: plan.users == 100)
    assert [(trial.users, trial.window_s) for trial in cut.trials] == [(50, 15.0), (50, 120.0)]
    whole = conduct_users(folder, folder.read(), target)
    assert [trial.users for trial in whole.trials[2:4]] == [100, 200]
    assert users_answer(whole).proved


def test_what_does_not_hold_for_longer_is_not_answered_when_the_time_is_up(tmp_path: Path):
    def leaks(plan: TrialPlan) -> TrialRecord:
        trial = Target(99)(plan)
        if plan.window_s < 100:
            return trial
        return replace(trial, outcome="does not hold", margin=0.14, margin_se=0.01)

    study = conduct_users(StudyFolder(tmp_path / "s"), between(50), leaks, lambda plan: plan.users == 100)
    assert (users_answer(study).holds, users_answer(study).not_held, users_answer(study).proved) == (None, 50, False)
    assert [trial.outcome for trial in study.trials][-1] == "does not hold"


def test_what_stays_undecided_is_told_as_that(tmp_path: Path):
    def near(plan: TrialPlan) -> TrialRecord:
        trial = Target(10_000)(plan)
        return trial if plan.users < 80 else replace(trial, margin=0.01, margin_se=0.1, outcome="does not hold")

    study = conducted(tmp_path, near, between(1, 80))
    assert users_answer(study).proved
    not_held = users_answer(study).not_held
    assert answer_text(study).endswith(f"With {not_held} users the trials were too near the limit to tell.")
    fewest = conducted(tmp_path / "fewest", near, between(80, 80))
    assert exit_code(fewest) is ExitCode.INCONCLUSIVE


def test_when_the_time_is_up_the_most_that_held_is_answered_as_open(tmp_path: Path):
    target = Target(323)
    study = conduct_users(
        StudyFolder(tmp_path / "s"), STUDY, target, lambda plan: len(target.asked) >= 3 and bool(plan)
    )
    assert (users_answer(study).holds, users_answer(study).proved) == (200, False)
    assert "no time left" in users_answer(study).open
    assert len(target.asked) == 3


@pytest.mark.parametrize(("budget_s", "holds", "not_held"), [(300.0, 200, 400), (390.0, 283, 336), (3_000.0, 308, 322)])
def test_where_time_is_short_a_wider_distance_is_proved(tmp_path: Path, budget_s: float, holds: int, not_held: int):
    target = Target(323)

    def time_is_up(plan: TrialPlan) -> bool:
        spent_s = sum(each.window_s for each in target.asked)
        return spent_s + plan.window_s + sum(each.window_s for each in plan.then) > budget_s

    study = conduct_users(StudyFolder(tmp_path / "s"), STUDY, target, time_is_up)
    assert users_answer(study).proved
    assert (users_answer(study).holds, users_answer(study).not_held) == (holds, not_held)
    *before, (users, window_s) = [(each.users, each.window_s) for each in target.asked]
    assert (users, window_s) == (holds, 120.0)
    assert sum(window_s for _, window_s in before) <= budget_s - 240, "the proof may take two trials"
    is_cut = budget_s < 1_000
    assert users_answer(study).open.endswith("could not be measured: there was no time left") is is_cut
    assert ("Which numbers between them it holds is open" in answer_text(study)) is is_cut
    assert exit_code(study) is ExitCode.PASS


def test_an_answer_that_time_cut_short_is_narrowed_when_there_is_more(tmp_path: Path):
    folder, target = StudyFolder(tmp_path / "s"), Target(323)
    cut = conduct_users(folder, STUDY, target, lambda plan: bool(plan.then) and plan.users not in {100, 200, 400})
    assert (users_answer(cut).holds, users_answer(cut).not_held) == (200, 400)
    whole = conduct_users(folder, folder.read(), target)
    assert (users_answer(whole).holds, users_answer(whole).not_held, users_answer(whole).open) == (308, 322, "")
    assert whole.trials[: len(cut.trials)] == cut.trials


@pytest.mark.parametrize(("budget_s", "is_tried"), [(739.0, False), (740.0, True)])
def test_the_time_that_is_kept_is_what_the_proof_takes_at_its_own_rate(tmp_path: Path, budget_s: float, is_tried: bool):
    target = Target(323, objective="p99<100ms")
    target.rps_per_user = 0.1  # 5,000 requests take 177 s with 283 users, and 149 s with 336

    def time_is_up(plan: TrialPlan) -> bool:
        spent_s = sum(each.window_s for each in target.asked)
        return spent_s + plan.window_s + sum(each.window_s for each in plan.then) > budget_s

    study = replace(STUDY, objectives=("p99<100ms",))
    known = users_answer(conduct_users(StudyFolder(tmp_path / "s"), study, target, time_is_up))
    assert (known.proved, known.holds, known.not_held) == (True, 283, 400)
    asked = [(each.users, each.window_s) for each in target.asked]
    assert asked[3:5] == [(400, 15.0), (283, 177)], "237 s of the budget are used"
    assert asked[5:] == [*([(336, 149)] if is_tried else []), (283, 177)], "149 s, and twice 177 s, are left or not"


def test_numbers_in_between_that_the_generator_cannot_measure_are_open(tmp_path: Path):
    def invalid_between(plan: TrialPlan) -> TrialRecord:
        return Target(323, valid=250 if 250 < plan.users < 400 else 1_000_000)(plan)

    study = conducted(tmp_path, invalid_between)
    known = users_answer(study)
    assert (known.proved, known.holds, known.not_held) == (True, 200, 400)
    assert "400 users were too many" in answer_text(study)
    assert answer_text(study).endswith(
        "Which numbers between them it holds is open: 283 users could not be measured: worker 0 used 97 % of a core"
        " (and 1 more)."
    )


def test_a_number_that_one_trial_could_not_decide_is_not_said_to_be_too_many(tmp_path: Path):
    def near(plan: TrialPlan) -> TrialRecord:
        trial = Target(323)(plan)
        return replace(trial, margin=0.05, margin_se=0.1, outcome="does not hold") if plan.users == 283 else trial

    tried: list[int] = []

    def time_is_up(plan: TrialPlan) -> bool:
        tried.append(plan.users)
        return tried.count(283) > 1 and bool(plan.then)

    study = conduct_users(StudyFolder(tmp_path / "s"), STUDY, near, time_is_up)
    assert [trial.users for trial in study.trials].count(283) == 1
    assert (users_answer(study).holds, users_answer(study).not_held, users_answer(study).proved) == (200, 400, True)


def test_a_target_that_does_not_hold_the_fewest_is_proof_of_that(tmp_path: Path):
    study = conducted(tmp_path, Target(10), between(40))
    assert (users_answer(study).holds, users_answer(study).not_held, users_answer(study).proved) == (None, 40, True)
    assert exit_code(study) is ExitCode.FAIL
    assert answer_text(study) == f"The target does not hold even 40 users ({AIM})."


@pytest.mark.parametrize(
    ("objective", "window_s"),
    [
        pytest.param("p99<100ms", 36.0, id="p99"),  # 50 beyond p99 are 5,000 requests, at 141.5/s
        pytest.param("p95<80ms", 30.0, id="p95"),  # 8 s would do
        pytest.param("failures<=1%", 30.0, id="failures"),
        pytest.param("failures<=0.1%", 43.0, id="few-failures"),  # 6,000 requests
        pytest.param("mean<50ms", 30.0, id="mean"),
    ],
)
def test_a_trial_is_long_enough_for_the_objective_that_is_nearest_to_its_limit(
    tmp_path: Path, objective: str, window_s: float
):
    target = Target(323, objective=objective)
    objectives = ("p99<100ms", "p95<80ms", "failures<=1%", "failures<=0.1%", "mean<50ms")
    conducted(tmp_path, target, replace(STUDY, objectives=objectives))
    assert [(plan.users, plan.window_s) for plan in target.asked[:4]] == [(50, 15), (100, 15), (200, 15), (400, 15)]
    assert (target.asked[4].users, target.asked[4].window_s) == (283, window_s)


def test_the_table_of_a_study_shows_every_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    study = conducted(tmp_path, Target(323))
    assert print_study(study) == ExitCode.PASS
    printed = capsys.readouterr().out
    assert all(trial.run in printed for trial in study.trials)
