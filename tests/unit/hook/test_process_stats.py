"""A worker's own CPU, memory and the lag of its event loop."""

import os
import time
from itertools import count

import gevent
import psutil
import pytest

from loadstone.domain.stall import Stall
from loadstone.hook.process_stats import LoopLag, ProcessMonitor
from loadstone.host.cgroup import cgroup_of
from loadstone.host.clock import suspended_ns


def test_the_cpu_of_a_busy_process_and_its_memory_are_seen():
    monitor = ProcessMonitor()
    begun_s = time.process_time()
    while time.process_time() - begun_s < 0.1:
        pass
    stats = monitor.read()
    assert stats.cpu_pct > 1
    assert 0.5 < stats.rss_bytes / psutil.Process().memory_info().rss < 2


def test_throttling_counts_from_when_the_monitor_was_made():
    cgroup = cgroup_of(os.getpid())
    throttling = cgroup.throttling() if cgroup else None
    before_us = throttling.throttled_us if throttling else 0
    stats = ProcessMonitor().read()
    after = cgroup.throttling() if cgroup else None
    assert 0 <= stats.throttled_us <= (after.throttled_us if after else 0) - before_us


def test_a_loop_that_is_held_up_shows_lag():
    lag = LoopLag()
    greenlet = gevent.spawn(lag.watch)
    gevent.sleep(0.01)
    time.sleep(0.2)  # holds up the loop, which is what is measured
    gevent.sleep(0.01)
    greenlet.kill()
    assert max(lag.take()) > 100_000
    assert lag.take() == ()


def longest(lag: LoopLag) -> Stall:
    """The stall that the test made; a busy machine may add shorter ones."""
    return max(lag.take_stalls(), key=lambda stall: stall.length_us)


def test_a_loop_that_stands_still_leaves_a_stall_that_ends_when_it_runs_again():
    lag = LoopLag(time.time_ns, lambda: 0)
    greenlet = gevent.spawn(lag.watch)
    gevent.sleep(0.01)
    time.sleep(0.3)
    gevent.sleep(0.01)
    ended_ns = time.time_ns()
    greenlet.kill()
    stall = longest(lag)
    assert stall.length_us > 200_000
    assert stall.suspended_us == 0
    assert 0 <= ended_ns - stall.end_ns < 1_000_000_000
    assert lag.take_stalls() == ()


def test_a_machine_that_was_suspended_leaves_a_stall_although_no_timer_was_late():
    suspended_ns = iter([5_000_000_000, 5_000_000_000, 13_000_000_000, *[13_000_000_000] * 1000])
    lag = LoopLag(time.time_ns, lambda: next(suspended_ns))
    greenlet = gevent.spawn(lag.watch)
    gevent.sleep(0.3)
    greenlet.kill()
    assert [stall.suspended_us for stall in lag.take_stalls() if stall.suspended_us] == [8_000_000]


@pytest.mark.parametrize("jitter_ns", [-3_000, 3_000])
def test_the_jitter_of_two_clocks_is_no_suspension(jitter_ns):
    readings = count(5_000_000_000, jitter_ns)
    lag = LoopLag(time.time_ns, lambda: next(readings))
    greenlet = gevent.spawn(lag.watch)
    gevent.sleep(0.01)
    time.sleep(0.3)
    gevent.sleep(0.01)
    greenlet.kill()
    stall = longest(lag)
    assert (stall.suspended_us, stall.length_us > 200_000) == (0, True)


def test_a_machine_that_is_awake_was_suspended_as_long_as_before():
    readings = [suspended_ns() for _ in range(100)]
    assert max(readings) - min(readings) < 10_000_000
