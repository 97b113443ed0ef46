"""The live snapshot: what the terminal shows of it is what the live page shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadstone.archive.run_state import RunState
from loadstone.charts.live_data import LivePoints
from loadstone.collector.live.snapshot import snapshot
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
    assert (before.seconds, before.stage, before.warmup_s, before.window_opens_in_s) == ((), None, 0.0, None)


def test_what_is_to_end_a_run_counts_from_its_start_and_under_a_rate_from_the_first_arrival():
    closed, opened = state_of(), state_of(identity={"rate": ["5/s"]})
    for state in (closed, opened):
        assert state.lifecycle.started_ns is not None
        state.lifecycle.started_ns -= 4 * SECOND  # the ramp takes so much longer
    assert at(closed, 10).left_s(60.0, None) == pytest.approx(46, abs=0.01)
    assert at(opened, 10).left_s(60.0, None) == pytest.approx(50, abs=0.01)
    assert at(closed, 10).left_s(None, 30.0) == at(opened, 10).left_s(None, 30.0) == pytest.approx(20, abs=0.01)
