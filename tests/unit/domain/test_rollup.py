"""Rollups equal what one would count by hand."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.batch import NO_INTENT, UNTIMED
from loadstone.domain.histogram import Histogram
from loadstone.domain.request_name import OTHER, NameTable
from loadstone.domain.rollup import MAX_DURATION_US, Rollup, merged, response_us, roll_up

sample = st.tuples(
    st.integers(1_700_000_000, 1_700_000_000 + 50) | st.integers(0, 4_000_000_000),
    st.integers(0, 700),
    st.integers(0, MAX_DURATION_US),
    st.integers(0, 10**9),
    st.booleans(),
)


late_sample = st.tuples(
    st.integers(1_700_000_000, 1_700_000_003),
    st.integers(0, 2),
    st.integers(0, 10**7) | st.just(UNTIMED) | st.just(MAX_DURATION_US),
    st.integers(0, 10**9),
    st.booleans(),
    st.integers(0, 10**6) | st.sampled_from([NO_INTENT, 0]),
)


def columns(samples):
    types = (np.int64, np.int64, np.int64, np.int64, np.bool_, np.int64)[: len(samples[0]) if samples else 5]
    return [np.array([s[at] for s in samples], dtype) for at, dtype in enumerate(types)]


def by_hand(samples):
    groups = {}
    for second, name, *rest in samples:
        groups.setdefault((second, name), []).append(rest)
    return {
        key: Rollup(
            n=len(group),
            err=sum(failed for _, _, failed in group),
            rt_sum_us=sum(us for us, _, _ in group),
            rt_min_us=min(us for us, _, _ in group),
            rt_max_us=max(us for us, _, _ in group),
            bytes=sum(size for _, size, _ in group),
            histogram=Histogram.of(np.array([us for us, _, _ in group], np.int64)),
        )
        for key, group in groups.items()
    }


@given(st.lists(sample, max_size=120))
def test_rolling_up_equals_counting_by_hand(samples):
    rolled = roll_up(*columns(samples))
    assert rolled == by_hand(samples)
    assert list(rolled) == sorted(rolled)


@given(st.lists(sample, max_size=60), st.lists(sample, max_size=60))
def test_merging_the_rollups_of_two_blocks_equals_the_rollups_of_one(left, right):
    both = roll_up(*columns(left))
    for key, rollup in roll_up(*columns(right)).items():
        both.setdefault(key, Rollup()).merge(rollup)
    assert both == by_hand(left + right)


def response_of(sample):
    second, name, duration_us, size, failed, late_us = sample
    waited_us = duration_us if duration_us < 0 else min(duration_us + max(late_us, 0), MAX_DURATION_US)
    return second, name, waited_us, size, failed


def of_both_durations(samples):
    """Rolled up twice: once by response time, and once by service time where that is another one."""
    rollups = roll_up(*columns([response_of(each) for each in samples]))
    for key, service in roll_up(*columns([each[:5] for each in samples])).items():
        rollups[key].service = None if service == rollups[key] else service
    return rollups


@given(st.lists(late_sample, max_size=60))
def test_rolling_up_late_samples_equals_rolling_up_response_times_and_service_times(samples):
    assert roll_up(*columns(samples)) == of_both_durations(samples)


@given(st.lists(late_sample, max_size=40), st.lists(st.integers(0, 39), max_size=5), st.randoms())
def test_late_samples_may_be_rolled_up_in_any_parts_and_merged_in_any_order(samples, cuts, random):
    edges = [0, *sorted(cut for cut in cuts if cut < len(samples)), len(samples)]
    parts = [samples[begin:end] for begin, end in pairwise(edges)]
    random.shuffle(parts)
    total = {}
    for part in parts:
        for key, rollup in roll_up(*columns(part)).items():
            total.setdefault(key, Rollup()).merge(rollup)
    assert total == of_both_durations(samples)


def test_merging_changes_none_of_the_merged_rollups():
    late = roll_up(*columns([(1, 0, 10, 1, False, 5)]))[1, 0]
    on_time = roll_up(*columns([(1, 0, 20, 1, False, 0)]))[1, 0]
    assert on_time.by_service is on_time
    total = merged([on_time, late, late])
    assert (total.rt_sum_us, total.by_service.rt_sum_us, total.rt_max_us, total.by_service.rt_min_us) == (
        50,
        40,
        20,
        10,
    )
    assert (on_time.service, late.rt_sum_us, late.by_service.rt_sum_us) == (None, 15, 10)


def test_a_response_time_is_never_shorter_than_its_service_time():
    duration_us = np.array([UNTIMED, 0, 10, 10, MAX_DURATION_US, 2**62])
    late_us = np.array([5, 5, NO_INTENT, 7, 1, 2**38])
    limit = MAX_DURATION_US
    assert response_us(duration_us, late_us).tolist() == [UNTIMED, 5, 10, 17, limit, limit]


def test_a_large_block_keeps_every_sample():
    rng = np.random.default_rng(7)
    n = 200_000
    seconds = rng.integers(0, 400, n)
    rolled = roll_up(seconds, rng.integers(0, 500, n), rng.integers(0, MAX_DURATION_US, n), seconds, seconds % 2 == 0)
    total = merged(rolled.values())
    assert (total.n, total.bytes, total.err) == (n, seconds.sum(), (seconds % 2 == 0).sum())
    assert len(total.histogram) == n


def test_durations_beyond_the_limits_count_as_the_limit():
    rolled = roll_up(*columns([(1, 0, 0, 0, False), (1, 0, 2**60, 0, False)]))
    assert (rolled[1, 0].rt_min_us, rolled[1, 0].rt_max_us) == (0, MAX_DURATION_US)


def test_samples_without_a_duration_count_and_leave_mean_extremes_and_percentiles_to_the_others():
    rolled = roll_up(
        *columns([(1, 0, 10, 1, False), (1, 0, UNTIMED, 2, True), (1, 0, 30, 4, False), (2, 0, UNTIMED, 8, False)])
    )
    first, second = rolled[1, 0], rolled[2, 0]
    assert (first.n, first.err, first.bytes, first.untimed) == (3, 1, 7, 1)
    assert (first.mean_us, first.rt_min_us, first.rt_max_us, first.percentile_us(50)) == (20, 10, 30, 10)
    assert (second.n, second.timed, second.mean_us, second.bytes) == (1, 0, 0, 8)
    total = merged([second, first])
    assert (total.n, total.untimed, total.mean_us, total.rt_min_us) == (4, 2, 20, 10)
    assert list(rolled) == [(1, 0), (2, 0)]


def test_the_mean_and_error_share_of_nothing_are_zero():
    assert (Rollup().mean_us, Rollup().err_ratio, Rollup().percentile_us(99)) == (0, 0, 0)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50), st.floats(0.1, 100))
def test_a_percentile_never_leaves_the_exact_extremes(values, percent):
    rollup = roll_up(*columns([(1, 0, us, 0, False) for us in values]))[1, 0]
    assert min(values) <= rollup.percentile_us(percent) <= max(values)


def test_names_get_ids_in_order_of_appearance_and_keep_them():
    table = NameTable()
    assert table.ids_of([("GET", "/a"), ("POST", "/a")]).tolist() == [0, 1]
    assert table.ids_of([("POST", "/a"), ("GET", "/b"), ("GET", "/a")]).tolist() == [1, 2, 0]
    assert table[2] == ("GET", "/b")


def test_names_after_the_limit_share_one_id():
    table = NameTable(limit=2)
    ids = table.ids_of([("GET", str(number)) for number in range(5)])
    assert ids.tolist() == [0, 1, 2, 2, 2]
    assert table.names == [("GET", "0"), ("GET", "1"), OTHER]
    assert table.capped
