"""Arrivals of an open model in a closed run: cut to the window, and compared with what the rate asks for."""

import pytest

from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.event import EventKind
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples
from support.varied_run import closed

RATE = 200


def told(sent, not_sent=0):
    """Running totals of an incarnation."""
    return {"arrivals": ArrivalCounts(sent + not_sent, sent, not_sent)}


def open_run(*, killed_at_s=None, warmup_s=0.0, rate=f"{RATE}/s", busy=0, late_us=400, objectives=(), zero_s=0.0):
    """Half a minute at a constant rate, shared by two workers; the second may be killed, and its arrivals be lost.

    ``busy``: how many arrivals of the first worker find no free user. Each iteration is one request.
    """
    run = RunMaker().started(
        0, workers=(0, 1), rate=[rate], arrivals="constant", warmup_s=warmup_s, objectives=list(objectives)
    )
    run.event(
        EventKind.ARRIVALS_SHARED, 0, number=0, begins_s=0.0, zero_ns=START + round(zero_s * SECOND), workers=[0, 1]
    )
    for number in (0, 1):
        incarnation, each = IncarnationMaker(number), RATE // 4
        for half in range(60):
            if number and killed_at_s is not None and half / 2 >= killed_at_s:
                run.event(EventKind.WORKER_LOST, killed_at_s + 1, worker=number)
                run.event(EventKind.USERS, killed_at_s + 2, users=10, target_users=10, workers=1)
                break
            taken = samples(each, half / 2, half / 2 + 0.5, late_us=late_us)
            counts = told(each * (half + 1), 0 if number else busy)
            run.add(incarnation.batch(taken, at_s=half / 2 + 0.5, **counts, final=half == 59))
    return run.stopped(30)


def arrivals_of(tmp_path, **changes):
    return closed(tmp_path, open_run(**changes).entries)


def test_a_sound_open_run_has_its_arrivals_in_run_json(tmp_path):
    result = arrivals_of(tmp_path, busy=3)
    found, whole = result.record.summary.window.arrivals, result.record.summary.run.arrivals
    assert result.verdict.word == "pass", result.verdict.reasons
    assert (found.planned, found.sent, found.not_sent) == (6003, 6000, 3)
    assert found.expected == pytest.approx(6000)
    assert (whole.planned, whole.sent, whole.not_sent) == (6003, 6000, 3)
    assert whole.expected == pytest.approx(6000)
    assert found.lateness_p99_ms == pytest.approx(0.4, rel=0.004)
    assert found.lateness_max_ms == 0.4
    assert "3 of 6,003 planned arrivals were not sent (0.05 %)" in result.verdict.notices


def test_arrivals_of_the_warm_up_are_not_the_window_s(tmp_path):
    parts = arrivals_of(tmp_path, warmup_s=10.0).record.summary
    assert (parts.window.arrivals.planned, parts.run.arrivals.planned) == (4000, 6000)
    assert parts.window.arrivals.expected == pytest.approx(4000)
    assert parts.run.arrivals.expected == pytest.approx(6000)


def test_a_window_that_begins_between_two_batches_gets_its_share_of_what_came_between(tmp_path):
    found = arrivals_of(tmp_path, warmup_s=10.2).record.summary.window.arrivals
    assert found.planned == pytest.approx(RATE * 19.8, abs=2)
    assert found.planned == found.sent


def test_a_worker_that_was_killed_leaves_arrivals_that_nobody_sent_or_counted(tmp_path):
    result = arrivals_of(tmp_path, killed_at_s=25)
    assert result.record.summary.window.arrivals.sent == 5500
    assert result.verdict.word == "inconclusive"
    assert "5,500 arrivals are accounted for, where the rate asks for 6,000 (91.67 %)" in result.verdict.reasons


def test_a_missed_latency_stays_missed_although_arrivals_were_lost(tmp_path):
    assert arrivals_of(tmp_path, killed_at_s=25, objectives=["p95<0.1ms"]).verdict.word == "fail"


def test_a_rate_that_this_version_cannot_read_is_compared_with_nothing(tmp_path):
    result = arrivals_of(tmp_path, rate="as fast as possible")
    assert result.record.summary.window.arrivals.expected is None
    assert result.record.summary.window.arrivals.planned == 6000


def test_the_master_s_clock_which_dates_the_window_is_taken_off(tmp_path):
    """By the stream server's clock the schedule begins two seconds before it does by the master's."""
    run = open_run(zero_s=-2.0)
    run.event(EventKind.USERS, 1, users=10, target_users=10, workers=2, clock_offset_ms=2000.0)
    assert closed(tmp_path, run.entries).record.summary.window.arrivals.expected == pytest.approx(6000)


def test_the_rate_before_the_window_is_not_expected_in_it(tmp_path):
    found = arrivals_of(tmp_path, warmup_s=10.0, rate="0/s..200/s over 20s").record.summary
    assert found.window.arrivals.expected == pytest.approx(1500 + 2000)
    assert found.run.arrivals.expected == pytest.approx(2000 + 2000)


def test_without_a_schedule_nothing_is_expected(tmp_path):
    run = RunMaker().started(rate=["100/s"]).add(
        IncarnationMaker().batch(samples(100, 0, 1), at_s=1, final=True, **told(100))
    )  # fmt: skip
    result = closed(tmp_path, run.stopped(1).entries)
    assert result.record.summary.window.arrivals.expected is None
    assert result.verdict.word == "pass"
