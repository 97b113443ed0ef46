from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.quantile import nearest_rank, nearest_ranks, percentile_of, percentile_of_counts

values = st.lists(st.integers(0, 1000), min_size=1, max_size=200)
percents = st.sampled_from([0.0, 1, 50, 90, 95, 99, 99.9, 100])


@given(values, percents)
def test_a_percentile_is_what_numpy_calls_the_inverted_distribution(found: list[int], percent: float):
    assert percentile_of(found, percent) == np.percentile(found, percent, method="inverted_cdf")


@given(values, percents)
def test_counted_values_have_the_same_percentile_as_single_ones(found: list[int], percent: float):
    counts = {value: found.count(value) for value in found}
    assert percentile_of_counts(counts, percent) == percentile_of(found, percent)


@given(st.lists(st.integers(1, 10**9)), percents)
def test_ranks_of_an_array_are_the_ranks_of_its_elements(n: list[int], percent: float):
    assert nearest_ranks(percent, np.array(n, np.int64)).tolist() == [nearest_rank(percent, each) for each in n]


@pytest.mark.parametrize(("percent", "n", "rank"), [(99.9, 1000, 999), (50, 3, 2), (0, 5, 1), (100, 5, 5)])
def test_the_rank_is_not_pushed_up_by_a_float(percent: float, n: int, rank: int):
    assert nearest_rank(percent, n) == rank


def test_nothing_has_no_percentile():
    assert percentile_of([], 50) is None
    assert percentile_of_counts({}, 50) is None
