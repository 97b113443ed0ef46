"""What a live view shows of the arrivals of the open model: rates and lateness of the last ten seconds."""

from __future__ import annotations

import pytest

from loadstone.archive.run_state import RunState
from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.event import EventKind
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples

SHARE = 50
"""Arrivals of each of two workers in half a second."""


def run_of(seconds: float, *, zero_s: float = 0.0, late_from_s: float = 99.0, killed_at_s: float = 99.0) -> RunMaker:
    """200 arrivals a second from ``zero_s`` on; the second worker sends none of one in ten, and may be killed."""
    run = RunMaker().started(0, workers=(0, 1))
    zero_ns = START + round(zero_s * SECOND)
    run.event(EventKind.ARRIVALS_SHARED, 0, number=0, begins_s=0.0, zero_ns=zero_ns, workers=[0, 1])
    makers = [IncarnationMaker(number) for number in (0, 1)]
    for half in range(round(2 * seconds)):
        at_s, due = half / 2, SHARE * max(0, half + 1 - round(2 * zero_s))
        for number, maker in enumerate(makers):
            if number and at_s >= killed_at_s:
                continue
            late_us = 30_000 if at_s >= late_from_s else 400
            taken = samples(SHARE, at_s, at_s + 0.5, late_us=late_us) if due else ()
            counts = ArrivalCounts(due, due - number * due // 10, number * due // 10)
            run.add(maker.batch(taken, at_s=at_s + 0.5, arrivals=counts))
    if killed_at_s < seconds:
        run.event(EventKind.WORKER_LOST, killed_at_s + 1, worker=1)
    return run


def state_of(run: RunMaker) -> RunState:
    state = RunState()
    for entry in run.entries:
        state.apply(entry)
    return state


def test_rates_are_of_all_workers_and_of_the_last_ten_seconds():
    recent = state_of(run_of(30, late_from_s=10)).recent_arrivals
    assert recent is not None
    assert (recent.planned_rps, recent.sent_rps) == pytest.approx((200, 190))
    assert recent.lateness_p99_ms == pytest.approx(30, rel=0.004), "those that were on time are older"


def test_the_time_before_the_schedule_began_lowers_no_rate():
    recent = state_of(run_of(8, zero_s=5.0)).recent_arrivals
    assert recent is not None
    assert (recent.planned_rps, recent.sent_rps) == pytest.approx((200, 190), rel=1e-3)


def test_a_worker_that_is_lost_has_no_rate_any_more():
    recent = state_of(run_of(20, killed_at_s=15)).recent_arrivals
    assert recent is not None
    assert recent.planned_rps == pytest.approx(100)


def test_a_schedule_that_has_not_begun_has_rates_of_zero_and_no_lateness():
    recent = state_of(run_of(4, zero_s=10.0)).recent_arrivals
    assert recent is not None
    assert recent == (0, 0, None)


def test_rates_are_kept_when_all_workers_have_ended():
    run = run_of(20)
    for number in (0, 1):
        counts = ArrivalCounts(2000, 2000 - 200 * number, 200 * number)
        run.add(IncarnationMaker(number, seq=40, produced=2000).batch(at_s=20.01, final=True, arrivals=counts))
    recent = state_of(run).recent_arrivals
    assert recent is not None
    assert recent.planned_rps == pytest.approx(200, rel=0.01)


def test_a_run_of_the_closed_model_and_a_state_without_live_figures_have_none():
    closed = RunMaker().started(0).add(IncarnationMaker(0).batch(samples(5, 0, 1)))
    assert state_of(closed).recent_arrivals is None
    state = RunState(rollups=False)
    for entry in run_of(5).entries:
        state.apply(entry)
    assert state.recent_arrivals is None
