"""How workers and services did, measured in the window and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.archive.finalize.arrivals import ArrivalTotals
from loadstone.archive.finalize.facts import WorkersInWindow
from loadstone.archive.finalize.services import ServicesInWindow
from loadstone.domain.arrival_counts import NO_ARRIVALS, ArrivalCounts
from loadstone.domain.facts import QueueUse, UsageProblem, Window
from loadstone.domain.stall import Span, Stall
from loadstone.domain.usage_tick import Balance, Usage, UsageTick
from support.run_maker import SECOND, START, IncarnationMaker


def at(seconds):
    return START + round(seconds * SECOND)


WINDOW = Window(at(10), at(20))


def workers_of(*batches):
    gathered = WorkersInWindow(WINDOW)
    for batch in batches:
        gathered.take(batch)
    return gathered.facts()


def usage_of(*ticks):
    gathered = ServicesInWindow(WINDOW)
    for at_s, *rows in ticks:
        gathered.take(UsageTick(at_ns=at(at_s), source="s", seq=0, rows=tuple(rows)))
    return gathered.facts()


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=40), min_size=1, max_size=5))
def test_the_lag_is_the_nearest_rank_over_all_ticks_of_the_window(lags):
    incarnation = IncarnationMaker(2)
    batches = [incarnation.batch(at_s=12, loop_lag_us=tuple(ticks)) for ticks in lags]
    batches += [incarnation.batch(at_s=9, loop_lag_us=(10**9,)), incarnation.batch(at_s=20, loop_lag_us=(10**9,))]
    (worker,) = workers_of(*batches)
    every = [lag for ticks in lags for lag in ticks]
    expected = np.percentile(every, 99, method="inverted_cdf") / 1000 if every else None
    assert worker.lag_p99_ms == expected


def test_the_first_batch_after_the_start_of_the_window_is_about_the_ramp_up():
    incarnation, late, new = IncarnationMaker(0), IncarnationMaker(1), IncarnationMaker(2)
    ramping = {"loop_lag_us": (300_000,) * 10, "cpu_pct": 99.0, "throttled_us": 5000}
    calm = {"loop_lag_us": (100,) * 10, "cpu_pct": 10.0, "throttled_us": 5000}
    after_the_ramp, stood_still, joined = workers_of(
        incarnation.batch(at_s=9.9),
        incarnation.batch(at_s=10.4, **ramping),
        incarnation.batch(at_s=10.9, **calm),
        late.batch(at_s=9.9),
        late.batch(at_s=13, **ramping),
        new.batch(at_s=10.4, **ramping),
    )
    assert (after_the_ramp.lag_p99_ms, after_the_ramp.cpu_pct, after_the_ramp.throttled_us) == (0.1, 10.0, 0)
    assert (stood_still.lag_p99_ms, joined.lag_p99_ms) == (300, 300)


def test_throttling_is_what_came_on_top_within_the_window_for_each_incarnation():
    first, second = IncarnationMaker(1, "a"), IncarnationMaker(1, "b")
    (worker,) = workers_of(
        first.batch(at_s=9, throttled_us=1000),
        first.batch(at_s=15, throttled_us=4000),
        second.batch(at_s=16, throttled_us=500),
        second.batch(at_s=21, throttled_us=90_000),
    )
    assert worker.throttled_us == 3000 + 500


def test_cpu_and_clock_are_means_and_an_unknown_clock_stays_unknown():
    incarnation, other = IncarnationMaker(0), IncarnationMaker(1)
    known, unknown = workers_of(
        incarnation.batch(at_s=11, cpu_pct=10.0, clock_offset_ms=2.0),
        incarnation.batch(at_s=12, cpu_pct=30.0, clock_offset_ms=None),
        incarnation.batch(at_s=13, cpu_pct=20.0, clock_offset_ms=4.0),
        incarnation.batch(at_s=30, cpu_pct=99.0, clock_offset_ms=900.0),
        other.batch(at_s=11, clock_offset_ms=None),
    )
    assert (known.worker, known.cpu_pct, known.clock_offset_ms) == (0, 20.0, 3.0)
    assert (unknown.worker, unknown.clock_offset_ms) == (1, None)


def test_a_clock_that_is_an_hour_ahead_is_told_although_it_dates_every_batch_after_the_window():
    incarnation = IncarnationMaker(0)
    (worker,) = workers_of(*(incarnation.batch(at_s=3600 + at_s, clock_offset_ms=3_600_000.0) for at_s in (11, 12, 13)))
    assert worker.clock_offset_ms == 3_600_000.0


def arrivals_of(*batches, schedule_ns=None):
    gathered = ArrivalTotals(WINDOW.start_ns, schedule_ns)
    for batch in batches:
        gathered.take(batch)
    return gathered.window, gathered.run


def test_arrivals_are_those_since_the_window_began_for_each_incarnation():
    first, second, new = IncarnationMaker(0), IncarnationMaker(1), IncarnationMaker(1, "again")
    batches = [
        first.batch(at_s=9, arrivals=ArrivalCounts(100, 90, 10)),
        first.batch(at_s=11, arrivals=ArrivalCounts(120, 106, 14)),  # half of it was before
        second.batch(at_s=9.8, arrivals=ArrivalCounts(50, 50, 0)),
        second.batch(at_s=10.2, arrivals=ArrivalCounts(60, 60, 0)),
        second.batch(at_s=19.5, arrivals=ArrivalCounts(90, 90, 0)),
        new.batch(at_s=19, arrivals=ArrivalCounts(7, 6, 1)),
        first.batch(at_s=25, arrivals=ArrivalCounts(200, 180, 20)),  # none came when users were being stopped
    ]
    window, run = arrivals_of(*batches)
    assert run == ArrivalCounts(200 + 90 + 7, 180 + 90 + 6, 20 + 0 + 1)
    assert window == ArrivalCounts(90 + 35 + 7, 82 + 35 + 6, 8 + 0 + 1)


def test_nothing_arrives_before_the_schedule_begins():
    one = IncarnationMaker(0)
    batches = [one.batch(at_s=9.8, arrivals=NO_ARRIVALS), one.batch(at_s=10.3, arrivals=ArrivalCounts(30, 30, 0))]
    assert arrivals_of(*batches, schedule_ns=WINDOW.start_ns)[0] == ArrivalCounts(30, 30, 0)
    assert arrivals_of(*batches)[0] == ArrivalCounts(18, 18, 0)


def test_an_incarnation_that_ended_before_the_window_has_no_arrivals_in_it():
    one = IncarnationMaker(0)
    batches = [one.batch(at_s=at, arrivals=ArrivalCounts(at, at, 0)) for at in (7, 8, 9)]
    assert arrivals_of(*batches) == (NO_ARRIVALS, ArrivalCounts(9, 9, 0))


def test_totals_that_come_in_any_order_and_without_arrivals_count_as_what_they_are():
    one = IncarnationMaker(0)
    batches = [one.batch(at_s=8 + at, arrivals=ArrivalCounts(10 * at, 10 * at, 0)) for at in range(5)]
    assert arrivals_of(*reversed(batches), one.batch(at_s=16)) == arrivals_of(*batches)
    assert arrivals_of(one.batch(at_s=12)) == (NO_ARRIVALS, NO_ARRIVALS)


def row(cpu, mem=0, **more):
    return Usage(**({"service": "target", "container": "a", "cpu_cores": cpu, "mem_bytes": mem} | more))


def test_containers_of_a_service_are_added_up_at_each_tick():
    usage = usage_of(
        (9, row(9.0)),
        (10, row(1.0, 100, cpu_limit=1.0), row(2.0, 50, container="b", cpu_limit=3.0)),
        (11, row(3.0, 120, cpu_limit=1.0), row(2.0, 70, container="b", cpu_limit=3.0)),
        (20, row(9.0)),
    )["target"]
    assert (usage.ticks, usage.cpu_cores, usage.cpu_cores_max, usage.cpu_limit) == (2, 4.0, 5.0, 4.0)
    assert (usage.mem_bytes, usage.mem_limit, usage.mem_pct) == (190, None, None)


def test_the_fullest_container_decides_the_share_of_memory():
    usage = usage_of((10, row(0, 90, mem_limit=100), row(0, 10, container="b", mem_limit=100)))["target"]
    assert (usage.mem_bytes, usage.mem_limit, usage.mem_pct) == (100, 200, 90)


def test_a_limit_counts_only_if_every_container_has_one_all_the_time():
    assert usage_of((10, row(1.0, cpu_limit=2.0), row(1.0, container="b")))["target"].cpu_limit is None
    assert usage_of((10, row(1.0, cpu_limit=2.0)), (11, row(1.0)))["target"].cpu_limit is None


def test_throttling_is_the_highest_seen():
    usage = usage_of((10, row(1.0, throttled_pct=5.0)), (11, row(1.0, throttled_pct=25.0)))["target"]
    assert usage.throttled_pct == pytest.approx(25)


def test_kills_are_those_of_every_tick_and_container_in_the_window_together():
    usage = usage_of(
        (9, row(1.0, oom=9)),
        (10, row(1.0, oom=1), row(1.0, container="b", oom=2)),
        (11, row(1.0)),
        (12, row(1.0, oom=1)),
        (20, row(1.0, oom=9)),
    )["target"]
    assert usage.oom == 1 + 2 + 1


def test_what_the_sampler_says_is_wrong_counts_by_ticks_of_the_window_and_those_without_figures():
    gathered = ServicesInWindow(WINDOW)
    for at_s, rows, problem in ((9, (), "none"), (10, (), "none"), (11, (), "none"), (12, (row(1.0),), "late"),
                                (13, (row(1.0),), "")):  # fmt: skip
        gathered.take(UsageTick(at_ns=at(at_s), source="s", seq=0, rows=rows, problem=problem))
    assert gathered.problems() == (UsageProblem("none", ticks=2, missing=2), UsageProblem("late", ticks=1, missing=0))


def test_the_shares_of_a_workers_machine_are_means_over_the_batches_that_have_them():
    incarnation = IncarnationMaker(0)
    (worker,) = workers_of(
        incarnation.batch(at_s=9, host_busy_pct=1.0),
        incarnation.batch(at_s=11, host_busy_pct=90.0, host_stolen_pct=4.0),
        incarnation.batch(at_s=12, host_busy_pct=100.0, host_stolen_pct=None),
        incarnation.batch(at_s=13),
    )
    assert (worker.host_busy_pct, worker.host_stolen_pct, worker.host_waiting_pct) == (95.0, 4.0, None)


def test_stalls_count_if_they_reach_into_the_window():
    incarnation = IncarnationMaker(0)
    inside = [Stall(at(10.5), 900_000, 0), Stall(at(20.3), 900_000, 0)]
    outside = [Stall(at(9.9), 200_000, 0), Stall(at(21), 300_000, 0)]
    (worker,) = workers_of(incarnation.batch(at_s=21, stalls=(inside[1], *outside, inside[0])))
    assert worker.stalls == tuple(inside)


def test_queues_of_the_balancer_and_missed_ticks_of_the_sampler_are_told():
    gathered = ServicesInWindow(WINDOW)
    for at_s, waiting in ((9, 900), (10, 10), (11, 30), (14.5, 20)):
        balance = Balance(
            service="target", queue=waiting, retries=waiting // 10, redispatches=1, up=1, requests=waiting
        )
        gathered.take(UsageTick(at_ns=at(at_s), source="s", seq=0, rows=(), balances=(balance,)))
    assert gathered.queues() == {"target": QueueUse(mean=20.0, highest=30, retries=6, redispatches=3, requests=960)}
    assert gathered.gaps() == (Span(at(11), at(14.5)),)


def test_throttling_is_also_the_mean_of_the_most_throttled_container():
    found = usage_of(
        (10, row(0.5, throttled_pct=10.0), row(0.5, container="b", throttled_pct=30.0)),
        (11, row(0.5, throttled_pct=None)),
        (12, row(0.5, throttled_pct=0.0)),
    )["target"]
    assert (found.throttled_pct, found.throttled_mean_pct, found.containers) == (30.0, 15.0, pytest.approx(4 / 3))
