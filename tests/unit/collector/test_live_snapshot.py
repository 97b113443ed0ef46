"""The live snapshot: what the terminal shows of it is what the live page shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadstone.archive.run_state import RunState
from loadstone.charts.live_data import LivePoints
from loadstone.collector.live.snapshot import snapshot
from loadstone.domain.event import EventKind
from loadstone.domain.live import LiveStage, decode_live, encode_live
from support.closed_runs import MadeRun
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples


def state_of(**made: Any) -> RunState:
    state = RunState()
    for entry in MadeRun(**made).entries():
        state.apply(entry)
    return state


def at(state: RunState, at_s: float) -> Any:
    return snapshot("r", state, now_ns=START + round(at_s * SECOND))


def test_each_of_the_last_ten_seconds_is_the_one_on_the_live_page():
    state, points = state_of(), LivePoints()
    points.update(state)
    on_page = dict(points.since(0))
    seconds = at(state, 20).seconds
    assert [second.at - START // SECOND for second in seconds] == list(range(10, 20))
    for second in seconds:
        shown = on_page[second.at - START // SECOND]
        assert (second.requests, second.p95_ms) == (shown["rate"]["requests"], shown["latency"]["p95"])


def test_the_rate_is_the_mean_of_the_seconds_that_are_told():
    live = at(state_of(rate=37), 20)
    assert live.rps == sum(second.requests for second in live.seconds) / 10 == 37


def test_a_second_in_which_nobody_was_answered_has_no_latency():
    run, incarnation, state = RunMaker().started(), IncarnationMaker(), RunState()
    for taken in (samples(20, 0, 2), samples(20, 4, 6)):
        run.add(incarnation.batch(taken))
    for entry in run.stopped(6, requests=40).entries:
        state.apply(entry)
    known = {second.at - START // SECOND: (second.requests, second.p95_ms) for second in at(state, 6).seconds}
    assert [known[second][0] for second in range(5)] == [10, 10, 0, 0, 10]
    assert [known[second][1] is None for second in range(5)] == [False, False, True, True, False]


def test_a_run_of_the_closed_model_has_no_stage():
    live = at(state_of(), 20)
    assert (live.open_model, live.stage) == (False, None)


STAGES = ["10/s over 5s", "10/s..40/s over 5s", "40/s"]


@pytest.mark.parametrize(
    ("rate", "at_s", "number"),
    [(STAGES, 1, 1), (STAGES, 7, 2), (STAGES, 11, 3), (STAGES, 99, 3), (STAGES[:2], 99, 2), (["5/s"], 99, 1)],
)
def test_the_stage_is_the_one_that_is_due_and_the_last_one_when_all_are_over(rate: list[str], at_s: float, number: int):
    state = state_of(late_ms=1.0, identity={"rate": rate})
    state.lifecycle.stopping_ns = None
    live = at(state, at_s)
    assert live.open_model
    assert live.stage == LiveStage(number=number, of=len(rate), text=rate[number - 1])


def test_a_rate_of_another_version_has_no_stage():
    assert at(state_of(identity={"rate": ["as you like"]}), 5).stage is None


def test_the_window_opens_after_the_warm_up():
    state = state_of(identity={"warmup_s": 7.0})
    assert at(state, 5).window_opens_in_s == pytest.approx(2, abs=0.01)
    assert at(state, 9).window_opens_in_s == pytest.approx(-2, abs=0.01)


def test_a_snapshot_is_the_same_after_its_way_and_one_of_before_lacks_nothing_that_is_needed():
    live = at(state_of(late_ms=1.0, identity={"rate": STAGES}), 20)
    assert decode_live(encode_live(live)) == live
    counts = dict.fromkeys(("now_ns", "users", "target_users", "requests", "failures"), 1)
    known = {"run": "r", **counts, **dict.fromkeys(("rps", "failure_share", "p50_ms", "p95_ms"), 0.5)}
    before = decode_live(json.dumps(known))
    assert (before.seconds, before.stage, before.warmup_s, before.window_opens_in_s) == ((), None, None, None)


def test_what_is_to_end_a_run_counts_from_its_start_and_under_a_rate_from_the_first_arrival():
    closed, opened = state_of(), state_of(identity={"rate": ["5/s"]})
    for state in (closed, opened):
        assert state.lifecycle.started_ns is not None
        state.lifecycle.started_ns -= 4 * SECOND  # the ramp takes so much longer
    assert at(closed, 10).left_s(60.0, None) == pytest.approx(46, abs=0.01)
    assert at(opened, 10).left_s(60.0, None) == pytest.approx(50, abs=0.01)
    assert at(closed, 10).left_s(60.0, 30.0) == at(closed, 10).left_s(60.0, None), "the master ends it by its run time"
    assert at(opened, 10).left_s(60.0, 30.0) == at(opened, 10).left_s(60.0, None)
    assert at(closed, 10).left_s(None, 30.0) == at(opened, 10).left_s(None, 30.0) == pytest.approx(20, abs=0.01)


OBJECTIVES = ["p95<500ms", "rps>=5", "failures<=50%"]


def judged(seconds: list[tuple[float, float]], *, rate: int = 20, now_s: float | None = None, **run: Any) -> Any:
    """What the snapshot says of objectives: ``rate`` requests a second between these moments, silence otherwise.

    The ramp is done after ``ramp_s`` (0; None: never), users begin to stop after ``stopping_s`` (None), and the newest
    batch comes at ``now_s``.
    """
    ramp_s, stopping_s, objectives = run.get("ramp_s", 0), run.get("stopping_s"), run.get("objectives", OBJECTIVES)
    maker, incarnation, state = RunMaker(), IncarnationMaker(), RunState()
    identity = {"users": 5, "spawn_rate": 5, "host": "http://target", "workers": 1, "warmup_s": run.get("warmup_s", 0)}
    maker.event(EventKind.STARTED, 0, objectives=objectives, **identity).event(EventKind.ROSTER, 0, workers=[0])
    for begin, end in seconds:
        maker.add(incarnation.batch(samples(round(rate * (end - begin)), begin, end, error=run.get("error"))))
    if ramp_s is not None:
        maker.event(EventKind.RAMP_DONE, ramp_s, users=5)
    if stopping_s is not None:
        maker.event(EventKind.STOPPING, stopping_s)
    now_s = seconds[-1][1] if now_s is None else now_s
    maker.add(incarnation.batch(at_s=now_s))
    for at_s in run.get("raised_at_s", ()):
        maker.event(EventKind.EXCEPTION, at_s, message="no", traceback="", count=1, worker=0)
    for entry in maker.entries:
        state.apply(entry)
    return at(state, now_s).objectives


def test_a_target_that_stopped_answering_holds_no_objective():
    latency, rate, failures = judged([(0, 20)], now_s=220)
    assert (latency.value, latency.ok) == (None, None)
    assert (rate.value, rate.ok) == (None, None)
    assert (failures.value, failures.ok) == (None, None)
    assert "no request at all in the window" in latency.reason


def test_seconds_without_an_answer_are_part_of_the_newest_minute():
    _, rate, _ = judged([(0, 20)], now_s=70)
    assert (rate.value, rate.ok) == (pytest.approx(10 * 20 / 60), False)
    _, rate, _ = judged([(0, 2), (28, 30)], now_s=30)
    assert (rate.value, rate.ok) == (pytest.approx(4 * 20 / 30), False)
    _, rate, _ = judged([(20, 30)], now_s=30)
    assert rate.value == pytest.approx(10 * 20 / 30), "it took twenty seconds to the first answer"


def test_seconds_of_which_no_requests_are_kept_any_more_are_no_silence():
    """After the stop, answers to requests in flight push out the oldest of the sixty seconds that are kept."""
    _, rate, _ = judged([(0, 100), (100, 120)], now_s=120, stopping_s=100)
    assert rate.value == pytest.approx(20)


def test_before_the_window_is_open_objectives_are_undecided_and_say_so():
    for run in ({"ramp_s": None}, {"warmup_s": 30}, {"ramp_s": 10, "warmup_s": 11}):
        found = judged([(0, 20)], **run)
        told = {(each.value, each.ok, each.reason) for each in found}
        assert told == {(None, None, "the window is not open yet")}
    assert [each.ok for each in judged([(0, 20)], ramp_s=10, warmup_s=5)] == [True, True, True]


def test_the_newest_minute_begins_with_the_window():
    _, rate, _ = judged([(0, 10), (14, 20)], ramp_s=8.5, warmup_s=2)
    assert rate.value == pytest.approx(6 * 20 / 9), "from the first whole second, 11, to 20"


def test_answers_after_users_began_to_stop_are_in_no_window():
    _, rate, _ = judged([(0, 30), (30, 40)], stopping_s=30.5)
    assert rate.value == pytest.approx(20)
    _, rate, _ = judged([(0, 30)], now_s=45, stopping_s=30)
    assert (rate.value, rate.ok) == (pytest.approx(20), True)


def test_a_run_that_ends_before_its_window_opened_does_not_wait_for_it():
    (latency, *_) = judged([(0, 20)], stopping_s=19, ramp_s=None)
    assert (latency.ok, latency.reason) == (None, "the window did not open")


def test_totals_are_judged_in_the_end_for_a_minute_says_nothing_of_them():
    texts = ["count>=100000", "count<=5000", "failures<=7", "failures==0"]
    found = judged([(0, 100)], objectives=texts)
    assert [each.value for each in found] == [1200, 1200, 0, 0]
    assert {(each.ok, each.reason) for each in found} == {(None, "judged at the end of the run")}


def test_a_total_that_is_over_its_limit_already_cannot_come_back():
    texts = ["count<=500", "failures<=7", "failures<8", "failures==0", "failures>=3"]
    found = judged([(0, 100)], objectives=texts, error="HTTP 500")
    assert [each.ok for each in found] == [False, False, False, False, None]


def test_an_exception_that_the_verdict_cannot_forgive_is_not_forgotten_after_a_minute():
    texts = ["exceptions==0", "exceptions<=2", "exceptions>=5"]
    found = judged([(0, 100)], objectives=texts, raised_at_s=[5, 30], ramp_s=10)
    assert [(each.value, each.ok, each.since_opened) for each in found] == [
        (1.0, False, True),
        (1.0, None, True),
        (1.0, None, True),
    ]
    assert found[0].reason == "since the window opened: exceptions are 1, must be == 0"
    assert found[1].reason == "judged at the end of the run"
