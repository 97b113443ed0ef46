"""When a series has settled."""

from __future__ import annotations

import numpy as np
import pytest

from loadstone.capacity.steady import settled_after, still_grows
from loadstone.domain.run_seconds import RunSeconds


def seconds_with_means(means_us: np.ndarray) -> RunSeconds:
    """One second for each mean, of one request; NaN for a second without any."""
    n = np.isfinite(means_us).astype(np.int64)
    sums = np.nan_to_num(means_us).astype(np.int64)
    return RunSeconds(n, np.zeros_like(n), sums, np.array([7]), n[:, np.newaxis])


@pytest.mark.parametrize("transient", [10, 20, 40])
def test_what_is_left_out_is_the_transient(transient: int):
    rng = np.random.default_rng(1)
    values = np.concatenate([np.linspace(300, 120, transient), np.full(120 - transient, 100.0)]) + rng.normal(0, 3, 120)
    assert transient - 5 <= settled_after(values) <= transient + 20


@pytest.mark.parametrize("length", [60, 120])
def test_noise_alone_hardly_ever_looks_like_growth(length: int):
    rng = np.random.default_rng(2)
    grown = sum(still_grows(seconds_with_means(rng.lognormal(9, 0.2, length))) for _ in range(400))
    assert grown <= 0.03 * 400


def test_a_latency_that_grows_to_the_end_is_told():
    assert still_grows(seconds_with_means(np.linspace(1e3, 9e3, 60)))


@pytest.mark.parametrize(
    "means_us",
    [
        pytest.param(np.concatenate([np.linspace(1e3, 3e3, 10), np.full(50, 3e3)]), id="settles-early"),
        pytest.param(np.linspace(9e3, 1e3, 60), id="falls-to-the-end"),
    ],
)
def test_a_latency_that_settles_or_falls_is_not(means_us: np.ndarray):
    assert not still_grows(seconds_with_means(means_us))


@pytest.mark.parametrize("length", [0, 1, 9, 59])
def test_a_window_too_short_to_tell_is_taken_as_it_is(length: int):
    assert not still_grows(seconds_with_means(np.linspace(1e3, 9e3, length)))


def test_seconds_without_a_request_are_no_values():
    means = np.full(60, 1e3)
    means[::3] = np.nan
    assert not still_grows(seconds_with_means(means))
