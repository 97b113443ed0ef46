"""Evidence: what trials show about a setting."""

from __future__ import annotations

import pytest

from loadstone.capacity.evidence import Finding, Rules, SettingEvidence, SettingObservation
from loadstone.capacity.grid import Point

POINT = Point(3, 2, 0)


def observed(margin: float | None, *, se: float = 0.02, peak: int = 1000) -> SettingObservation:
    return SettingObservation(margin=margin, margin_se=se, cpu_cores=1.0, peak_mem_bytes=peak, idle_mem_bytes=100)


def evidence(*margins: float | None, at: Point = POINT) -> SettingEvidence:
    known = SettingEvidence(Rules())
    for margin in margins:
        known.add(at, observed(margin))
    return known


@pytest.mark.parametrize(
    ("margins", "finding"),
    [
        pytest.param([], None, id="not-tried"),
        pytest.param([-0.1], None, id="once-and-near"),
        pytest.param([-0.5], Finding.HOLDS, id="once-and-clear"),
        pytest.param([0.5], Finding.FAILS, id="once-and-clearly-not"),
        pytest.param([-0.3, -0.2, -0.25], Finding.HOLDS, id="three-that-agree"),
        pytest.param([0.2, 0.25], Finding.FAILS, id="two-that-agree"),
        pytest.param([-0.2, 0.2, -0.1, 0.1, 0.0], Finding.UNDECIDED, id="five-around-zero"),
        pytest.param([-0.5, None], Finding.BREAKS, id="one-out-of-memory-is-enough"),
        pytest.param([-0.4, -0.4, -0.4, 2.0], None, id="one-that-went-wrong-makes-it-uncertain"),
        pytest.param([-0.4, -0.4, -0.4, -0.4, 0.1], Finding.HOLDS, id="one-that-was-slow-does-not"),
    ],
)
def test_the_finding_follows_from_margin_and_noise(margins: list[float | None], finding: Finding | None):
    assert evidence(*margins).finding(POINT) is finding


def test_proof_takes_as_many_trials_as_it_asks_for():
    assert evidence(-0.5, -0.5).finding(POINT, passes=3, fails=3) is None
    assert evidence(-0.5, -0.5, -0.5).finding(POINT, passes=3, fails=3) is Finding.HOLDS


def test_trials_with_more_memory_count_against_a_setting_and_not_for_it():
    more_memory = POINT._replace(mem=5)
    assert evidence(0.5, 0.5, 0.5, at=more_memory).finding(POINT, fails=3) is Finding.FAILS
    assert evidence(-0.5, -0.5, -0.5, at=more_memory).finding(POINT, passes=3) is None
    assert evidence(0.5, 0.5, 0.5, at=POINT._replace(mem=1)).finding(POINT) is None


def test_running_out_of_more_memory_says_nothing_of_less_cpu():
    assert evidence(None, at=POINT._replace(cpu=4)).finding(POINT) is None


def test_the_variance_between_runs_is_pooled_over_settings():
    calm, wild = evidence(-0.2, -0.2, -0.2, -0.2), evidence(-0.4, 0.2, -0.5, 0.3)
    assert calm.between_runs_variance() < Rules().between_runs_sd ** 2 < wild.between_runs_variance()


def test_settings_far_beyond_their_limit_do_not_count_for_the_variance():
    far = evidence(1.0, 3.0, 2.0, 4.0)
    assert far.between_runs_variance() == pytest.approx(Rules().between_runs_sd ** 2)


def test_one_trial_that_misses_by_far_does_not_blur_the_others():
    clear, with_outlier = evidence(0.5, 0.55, 0.6), evidence(0.5, 0.55, 9.0)
    assert with_outlier.between_runs_variance() < 2 * clear.between_runs_variance()


def test_cpu_is_the_median_and_memory_the_peak():
    known = SettingEvidence(Rules())
    for cores, peak in ((1.0, 10), (1.2, 30), (9.0, 20)):
        known.add(
            POINT,
            SettingObservation(margin=-1, margin_se=0.1, cpu_cores=cores, peak_mem_bytes=peak, idle_mem_bytes=1),
        )
    assert (known.cpu_cores(POINT), known.peak_mem_bytes(POINT), known.usual_peak_mem_bytes(POINT)) == (1.2, 30, 20)
    assert (known.cpu_cores(Point(0, 0, 0)), known.peak_mem_bytes(Point(0, 0, 0))) == (None, None)
