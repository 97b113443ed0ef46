"""How long a run was, what ended it, and for how long users were missing, from its events."""

import pytest

from loadstone.domain.event import EventKind
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.varied_run import closed


def ended(tmp_path, *, users=(), went_away=0, ended_by=None, at_s=30.0, stages=(), quitting=(), lost=(), **identity):
    """A run of five users whose reports of users are given as (second, users, wanted)."""
    run = RunMaker().started(0, **identity)
    for second, running, wanted in users:
        run.event(EventKind.USERS, second, users=running, target_users=wanted, workers=1)
        for at, ready in stages:
            if at == second:
                run.event(EventKind.RAMP_DONE, at + 0.1, users=ready)
    incarnation = IncarnationMaker()
    run.add(incarnation.batch(samples(1, 0, 10), at_s=10.3, went_away=went_away))
    run.add(incarnation.batch(samples(599, 0, at_s), at_s=at_s, went_away=went_away, final=True))
    for second in lost:
        run.event(EventKind.WORKER_LOST, second + 0.1, worker=1)
    for worker in quitting:
        run.event(EventKind.WORKER_QUIT, at_s, worker=worker)
    run.event(EventKind.STOPPING, at_s, ended_by=ended_by)
    run.event(EventKind.STOPPED, at_s, requests=600)
    return closed(tmp_path, run.entries)


@pytest.mark.parametrize(
    ("ended_by", "word"),
    [(None, "inconclusive"), ("lost workers", "inconclusive"), ("signal", "inconclusive"), ("scenario", "pass")],
)
def test_a_run_shorter_than_its_run_time_is_cut_short_unless_somebody_wanted_that(tmp_path, ended_by, word):
    result = ended(tmp_path, run_time_s=60.0, ended_by=ended_by)
    assert result.verdict.word == word
    said = [*result.verdict.reasons, *result.verdict.notices]
    assert any("asked for 60 s of the run, got 30 s" in text for text in said)
    assert (result.record.ending.asked_s, result.record.ending.got_s) == (60.0, 30.0)


@pytest.mark.parametrize(("quitting", "word"), [([], "inconclusive"), ([0], "pass"), ([7], "inconclusive")])
def test_workers_that_quit_end_a_run_on_purpose_only_if_the_scenario_ended_all_of_them(tmp_path, quitting, word):
    result = ended(tmp_path, run_time_s=60.0, ended_by="workers quit", quitting=quitting)
    assert result.verdict.word == word


def test_a_steady_state_is_compared_with_the_window(tmp_path):
    assert ended(tmp_path, steady_state_s=30.0, ended_by="steady state").verdict.word == "pass"
    short = ended(tmp_path, steady_state_s=40.0)
    assert any("asked for 40 s of the window, got 30 s" in reason for reason in short.verdict.reasons)


def test_users_that_are_missing_are_counted_in_the_window(tmp_path):
    lost = [(second, 5 if second < 10 or second >= 16 else 3, 5) for second in range(30)]
    result = ended(tmp_path, users=lost)
    assert result.record.ending.users_missing_s == 6.0
    assert any("at the worst 3 of 5" in reason for reason in result.verdict.reasons)


def test_users_that_are_being_started_or_left_by_themselves_are_not_missing(tmp_path):
    ramp = [(second, 5 if second < 10 else min(20, 5 + second - 10), 5 if second < 10 else 20) for second in range(30)]
    assert ended(tmp_path, users=ramp, stages=[(25, 20)]).record.ending.users_missing_s == 0
    left = [(second, 5 if second < 10 else 3, 5) for second in range(30)]
    assert ended(tmp_path, users=left, went_away=2).record.ending.users_missing_s == 0
    assert ended(tmp_path, users=left, went_away=1).record.ending.users_missing_s == 20.0


def test_fewer_users_than_were_asked_for_are_no_loss_where_locust_starts_no_more(tmp_path):
    """With fixed counts only, Locust says that its ramp is done with fewer users than were asked for."""
    fixed = [(second, 3, 5) for second in range(30)]
    result = ended(tmp_path, users=fixed, stages=[(0, 3)])
    assert result.record.ending.users_missing_s == 0


def test_users_of_a_lost_worker_are_not_missing_while_they_are_moved(tmp_path):
    moved = [(second, 5 if second < 10 or second >= 16 else 3, 5) for second in range(30)]
    assert ended(tmp_path, users=moved, lost=[10]).record.ending.users_missing_s == 0
    never = [(second, 5 if second < 10 else 3, 5) for second in range(30)]
    assert ended(tmp_path, users=never, lost=[10]).record.ending.users_missing_s == pytest.approx(4.9)
    again = [(second, 3 if 10 <= second < 13 or 18 <= second < 22 else 5, 5) for second in range(30)]
    assert ended(tmp_path, users=again, lost=[10]).record.ending.users_missing_s == 4.0


def test_users_that_left_by_themselves_excuse_no_loss_after_they_were_replaced(tmp_path):
    replaced = [(second, 3 if 10 <= second < 13 or second >= 20 else 5, 5) for second in range(30)]
    assert ended(tmp_path, users=replaced, went_away=2).record.ending.users_missing_s == 10.0


def test_users_that_are_too_many_are_counted_in_the_window_and_decide_nothing(tmp_path):
    taken_for_lost = [(second, 5 if second < 10 or second >= 16 else 8, 5) for second in range(30)]
    result = ended(tmp_path, users=taken_for_lost)
    assert result.record.ending.users_surplus_s == 6.0
    assert result.verdict.word == "inconclusive"
    (reason,) = result.verdict.reasons
    assert reason.startswith("more users ran than were wanted for 6 s of the window's 30 s (at the worst 8 of 5): ")


def test_users_that_are_being_stopped_are_not_too_many_until_they_were_stopped_once(tmp_path):
    down = [(second, 20 if second < 10 else max(5, 30 - second), 20 if second < 10 else 5) for second in range(30)]
    assert ended(tmp_path, users=down).record.ending.users_surplus_s == 0
    again = [*((second, users, wanted) for second, users, wanted in down if second < 26)]
    again += [(second, 7, 5) for second in range(26, 30)]
    assert ended(tmp_path, users=again).record.ending.users_surplus_s == 4.0


def test_one_user_too_many_in_a_thousand_is_no_matter(tmp_path):
    assert ended(tmp_path, users=[(0, 1001, 1000)]).record.ending.users_surplus_s == 0
    assert ended(tmp_path, users=[(0, 1011, 1000)]).record.ending.users_surplus_s == 30.0
