"""Histograms: mergeable, and never more than 0.4 % off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.histogram import Histogram, bucket_bounds, bucket_indexes

durations = st.integers(0, 2**45)
samples = st.lists(durations, max_size=200)


def array(values):
    return np.array(values, np.int64)


@given(durations)
def test_a_value_lies_within_the_bounds_of_its_bucket(value):
    low, high = bucket_bounds(int(bucket_indexes(array([value]))[0]))
    assert low <= value <= high


@given(durations)
def test_the_middle_of_a_bucket_is_at_most_0_4_percent_from_its_values(value):
    middle = Histogram.of(array([value])).percentile_us(50)
    assert abs(middle - value) <= 0.004 * value


@given(st.integers(0, 6000))
def test_buckets_touch_without_gap_or_overlap(index):
    assert bucket_bounds(index)[1] + 1 == bucket_bounds(index + 1)[0]


@given(samples, samples)
def test_merging_equals_recording_everything_in_one(left, right):
    merged = Histogram.of(array(left))
    merged.merge(Histogram.of(array(right)))
    assert merged == Histogram.of(array(left + right))
    assert len(merged) == len(left) + len(right)


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0.1, 1, 50, 90, 95, 99, 99.9, 100]))
def test_a_percentile_is_the_nearest_rank_within_0_4_percent(values, percent):
    expected = int(np.percentile(array(values), percent, method="inverted_cdf"))
    assert Histogram.of(array(values)).percentile_us(percent) == pytest.approx(expected, rel=0.004)


def test_rounding_of_the_rank_does_not_skip_a_value():
    values = Histogram((value, 1) for value in range(1, 201))
    assert values.percentiles_us([0.5, 99.5, 100]) == [1, 199, 200]


def test_an_empty_histogram_answers_zero():
    assert Histogram().percentiles_us([50, 99]) == [0, 0]


def test_negative_durations_count_as_zero():
    assert Histogram.of(array([-5])).counts == {0: 1}
