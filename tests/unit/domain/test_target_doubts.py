"""Requests in flight, and runs that were cut short, in a verdict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.ending import DELIBERATE, Ending, WrongUsers
from loadstone.domain.facts import TargetFacts
from loadstone.domain.in_flight import InFlight, figure_us, percentiles_us
from loadstone.domain.objective import parse_objectives
from loadstone.domain.pause import Pause
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import Rollup
from loadstone.domain.verdict import judge
from support.fact_maker import facts, rollup_of

PREDICT = RequestName("POST", "/predict")
OTHER = RequestName("GET", "/other")


def verdict(*texts, in_flight=None, undecided=0, **changes):
    if in_flight is not None:
        names = {PREDICT: in_flight} if isinstance(in_flight, Rollup) else in_flight
        cut = sum(rollup.n for rollup in names.values())
        changes["target"] = TargetFacts(in_flight=InFlight(names=names, cut=cut, undecided=undecided))
    return judge(parse_objectives(texts), facts(**changes))


def slow(count, failed=0):
    return Rollup.of_one(15_000_000, count, failed=failed)


@pytest.mark.parametrize("text", ["p95<500ms", "p99<500ms", "max<500ms", "mean<500ms", "p95[/predict]<500ms"])
def test_a_latency_that_holds_only_without_requests_in_flight_is_missed(text):
    outcome = verdict(text, in_flight=slow(10))
    assert (verdict(text).word, outcome.word) == ("pass", "fail")
    assert (outcome.objectives[0].value or 0) > 500


def test_requests_in_flight_of_another_name_leave_an_objective_on_a_name_alone():
    outcome = verdict("p95[/predict]<500ms", in_flight={OTHER: slow(10)})
    assert (outcome.word, outcome.objectives[0].value) == ("pass", verdict("p95[/predict]<500ms").objectives[0].value)


def test_requests_in_flight_are_not_answered_ones():
    held = verdict("count==100", "rps==10", in_flight=slow(10))
    assert [result.ok for result in held.objectives] == [True, True]


def test_requests_that_waited_longer_than_any_answer_count_as_failures():
    outcome = verdict("failures==0", in_flight=slow(10, failed=10))
    assert (outcome.word, outcome.reasons[0]) == ("fail", "failures are 10, must be == 0")
    assert verdict("failures<9%", in_flight=slow(10, failed=10)).word == "fail"
    assert verdict("failures<10%", in_flight=slow(10, failed=10)).word == "pass"


def test_requests_that_waited_no_longer_than_an_answered_one_leave_failures_undecided():
    outcome = verdict("failures==0", in_flight=slow(3), undecided=3)
    assert outcome.word == "inconclusive"
    assert "--stop-timeout" in outcome.reasons[0]
    assert verdict("failures<5%", in_flight=slow(3), undecided=3).word == "pass"


def test_a_target_that_answers_nothing_fails_its_objectives_and_is_no_sound_measurement_without():
    outcome = verdict("p95<500ms", names={}, in_flight=slow(5, failed=5))
    assert (outcome.word, outcome.objectives[0].ok) == ("fail", False)
    assert verdict(names={}, in_flight=slow(5, failed=5)).word == "inconclusive"


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=50),
    st.lists(st.integers(0, 10**7), max_size=50),
    st.floats(0.1, 100),
)
def test_requests_in_flight_never_lower_a_figure_and_are_a_lower_bound(answered, ages, percent):
    of_answered, of_all = rollup_of(answered), rollup_of(answered + ages)
    in_flight = rollup_of(ages)
    (percentile,) = percentiles_us(of_answered, in_flight, (percent,))
    assert percentile >= max(of_answered.percentile_us(percent), of_all.percentile_us(percent))
    assert figure_us(of_answered, in_flight, lambda rollup: rollup.rt_max_us) == max(answered + ages)
    mean = figure_us(of_answered, in_flight, lambda rollup: rollup.mean_us)
    assert mean == pytest.approx(max(of_answered.mean_us, of_all.mean_us))


def test_a_run_that_was_cut_short_is_inconclusive_with_both_lengths():
    outcome = verdict("p95<500ms", ending=Ending(asked_s=30.0, got_s=4.4, ended_by="lost workers"))
    assert (outcome.word, int(outcome.exit_code)) == ("inconclusive", 3)
    assert outcome.reasons == ("the run was cut short (lost workers): asked for 30 s of the run, got 4.4 s",)
    unknown = verdict(ending=Ending(measure="window", asked_s=30.0, got_s=4.4))
    assert unknown.reasons == ("the run was cut short: asked for 30 s of the window, got 4.4 s",)


BY = {
    "scenario": " by the scenario",
    "load shape": " by the load shape",
    "web UI": " by the web UI",
    "interrupt": " by an interrupt",
    "run time": " at the end of its run time",
    "steady state": " at the end of its steady state",
}


@pytest.mark.parametrize("ended_by", sorted(DELIBERATE))
def test_a_run_that_was_ended_on_purpose_says_by_what(ended_by):
    outcome = verdict(ending=Ending(asked_s=30.0, got_s=4.4, ended_by=ended_by))
    assert outcome.word == "pass"
    assert outcome.notices == (f"the run was ended early{BY[ended_by]}: asked for 30 s of the run, got 4.4 s",)


@pytest.mark.parametrize(("asked_s", "got_s"), [(30.0, 29.8), (30.0, 31.0), (2.0, 1.6), (None, 1.0)])
def test_a_run_as_long_as_was_asked_for_is_sound(asked_s, got_s):
    outcome = verdict(ending=Ending(asked_s=asked_s, got_s=got_s))
    assert (outcome.word, outcome.notices) == ("pass", ())


def test_users_missing_for_more_than_a_hundredth_of_the_window_are_a_doubt():
    outcome = verdict("rps>=10", shortfall=WrongUsers(seconds=4.0, users=7, wanted=10))
    assert outcome.word == "inconclusive"
    assert outcome.reasons == ("fewer users ran than were wanted for 4 s of the window's 10 s (at the worst 7 of 10)",)
    assert verdict(shortfall=WrongUsers(seconds=1.0, users=7, wanted=10)).word == "pass"


def test_users_too_many_for_more_than_a_hundredth_of_the_window_are_a_doubt_about_everything():
    surplus = WrongUsers(seconds=4.0, users=15, wanted=10)
    for objective in ("p95<500ms", "p95<1ms", "rps>=10", "failures==0", "cpu(target)<90%"):
        outcome = verdict(objective, surplus=surplus)
        assert outcome.word == "inconclusive", objective
        assert any(
            "more users ran than were wanted for 4 s of the window's 10 s (at the worst 15 of 10)" in reason
            for reason in outcome.reasons
        )
    assert verdict(surplus=WrongUsers(seconds=1.0, users=15, wanted=10)).word == "pass"


def test_orphaned_workers_are_a_doubt_that_excuses_no_failed_request():
    assert verdict("p95<500ms", orphaned=(1, 2)).reasons == ("workers 1, 2 lost the master and left",)
    assert verdict("failures==0", failed=3, orphaned=(1,)).word == "fail"


def pause_of(start_s, end_s, answered=0):
    start_ns, end_ns = (round((100 + at_s) * 1e9) for at_s in (start_s, end_s))
    return Pause(start_ns=start_ns, end_ns=end_ns, waiting=20, answered=answered, expected=100.0)


@pytest.mark.parametrize(
    ("lull", "told"),
    [
        (pause_of(2, 7.1, 5), "nobody was answered for 5 s of the window, from 2 s to 7 s, while 20 requests waited"),
        (
            pause_of(2, 9, 5),
            "only 5 answers came in 7 s of the window, from 2 s to 9 s, where about 100 were to be expected",
        ),
    ],
)
def test_a_silence_is_told_as_such_though_its_first_answers_took_a_moment(lull, told):
    target = TargetFacts(silences=(pause_of(2, 7),), lulls=(lull,))
    assert verdict(target=target).reasons == (told,)
