"""The search for the cheapest setting: what it answers was tried, it ends, and it can be resumed."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from itertools import product
from math import log
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.capacity.evidence import Finding, SettingObservation
from loadstone.capacity.grid import Grid, Point, Prices
from loadstone.capacity.search import Answer, Ask, Cheapest
from loadstone.domain.units import MIB
from support.searching import asked_and_answered

if TYPE_CHECKING:
    from collections.abc import Callable

GRID = Grid(
    cpu_cores=tuple(0.25 * step for step in range(1, 13)),
    mem_bytes=tuple(256 * MIB * step for step in range(1, 9)),
    replicas=(1, 2, 3, 4),
    prices=Prices(cpu_core=1, mem_gib=0.15),
)
MOST_TRIALS = 600
"""More than any search over this grid could need: at most five trials of each of the settings it can pass through."""


class Server:
    """A target that needs ``cores`` in all, not more than ``parallel`` of them in one replica, and shares ``mib``."""

    def __init__(self, cores: float, mib: float, parallel: float = 99.0, noise: float = 0.0, seed: int = 0) -> None:
        self.cores, self.mib, self.parallel, self.noise = cores, mib, parallel, noise
        self.random = random.Random(seed)

    def holds(self, point: Point) -> bool:
        setting = GRID.setting(point)
        fits = self.mib / setting.replicas + 100 <= setting.mem_bytes / MIB
        return fits and min(setting.cpu_cores, self.parallel) * setting.replicas >= self.cores / 0.85

    def observe(self, ask: Ask) -> SettingObservation:
        setting = GRID.setting(ask.point)
        peak_mib = self.mib / setting.replicas + 100
        usable = min(setting.cpu_cores, self.parallel) * setting.replicas
        margin = 3 * log(self.cores / 0.85 / usable) + self.random.gauss(0, self.noise)
        return SettingObservation(
            margin=None if peak_mib > setting.mem_bytes / MIB else margin or -1e-6,
            margin_se=0.02,
            cpu_cores=min(self.cores, usable) / setting.replicas,
            peak_mem_bytes=int(min(peak_mib * MIB, setting.mem_bytes)),
            idle_mem_bytes=100 * MIB,
        )


def conduct(
    observe: Callable[[Ask], SettingObservation], told: list[SettingObservation] | None = None
) -> tuple[Answer, list[Ask]]:
    """The answer, and all that was asked; what was ``told`` before is told again, and not observed."""
    return asked_and_answered(Cheapest(GRID).steps(), observe, told)


def cheapest_of(server: Server) -> float:
    points = (Point(*at) for at in product(range(12), range(8), range(4)))
    return min(GRID.cost(point) for point in points if server.holds(point))


@pytest.mark.parametrize(
    ("server", "setting"),
    [
        pytest.param(Server(cores=1.0, mib=300), (1.25, 512, 1), id="one-replica-is-cheapest"),
        pytest.param(Server(cores=1.6, mib=200, parallel=1.0), (1.0, 256, 2), id="one-busy-thread-for-each-process"),
        pytest.param(Server(cores=1.0, mib=1500), (1.25, 1792, 1), id="much-memory"),
    ],
)
def test_the_cheapest_setting_that_holds_is_found(server: Server, setting: tuple[float, int, int]):
    answer, _ = conduct(server.observe)
    assert answer.point is not None
    found = GRID.setting(answer.point)
    assert (found.cpu_cores, found.mem_bytes // MIB, found.replicas) == setting
    assert answer.smaller_fails


def test_without_noise_no_answer_is_more_than_a_step_dearer_than_the_best():
    for cores, parallel in product((0.4, 0.9, 1.6, 2.4, 3.2), (1.0, 99.0)):
        server = Server(cores, mib=600, parallel=parallel)
        answer, asked = conduct(server.observe)
        assert answer.point is not None
        assert server.holds(answer.point)
        step = (0.25 + 0.25 * 0.15) * GRID.setting(answer.point).replicas
        assert GRID.cost(answer.point) <= cheapest_of(server) + step + 1e-9
        assert len(asked) < 40


def test_nothing_is_answered_when_the_largest_setting_does_not_hold():
    answer, asked = conduct(Server(cores=40, mib=300).observe)
    assert answer == Answer(point=None, nothing_holds=True)
    assert {ask.point for ask in asked} == {GRID.top}


def test_the_smaller_neighbours_are_part_of_the_answer():
    answer, _ = conduct(Server(cores=1.0, mib=300).observe)
    assert answer.point is not None
    below = answer.point._replace(cpu=answer.point.cpu - 1)
    assert (below, Finding.FAILS) in answer.smaller


def known_after(observe: Callable[[Ask], SettingObservation], trials: int) -> Answer:
    """What is known when a search ends after so many trials."""
    search = Cheapest(GRID)
    steps = search.steps()
    with suppress(StopIteration):
        ask = next(steps)
        for _ in range(trials):
            ask = steps.send(observe(ask))
    return search.best_known()


def test_what_is_known_too_early_is_the_largest_setting_once_the_search_has_accepted_it():
    server = Server(cores=1.0, mib=300)
    assert known_after(server.observe, 1) == Answer(point=None)
    assert known_after(server.observe, 2) == Answer(point=GRID.top)


def test_what_is_known_at_the_end_is_the_answer():
    for cores, mib in ((0.2, 50), (1.0, 300), (1.6, 600), (1.0, 1500)):
        server = Server(cores, mib)
        answer, asked = conduct(server.observe)
        assert answer.point is not None
        assert known_after(server.observe, len(asked)) == answer


def test_a_setting_that_held_without_memory_to_spare_is_not_known_to_suffice():
    def observe(ask: Ask) -> SettingObservation:
        """It holds 480 MiB with 512, but only 400 with more, so that 512 MiB are tried."""
        fills_up = GRID.setting(ask.point).mem_bytes == 512 * MIB
        return replace(Server(cores=1.0, mib=300).observe(ask), peak_mem_bytes=(500 if fills_up else 400) * MIB)

    _, asked = conduct(observe)
    tried = [GRID.setting(ask.point).mem_bytes // MIB for ask in asked]
    until = len(tried) - tried[::-1].index(512)
    assert 768 in tried[until:], "the search goes on with more memory"
    assert tried[:until].count(512) >= 3
    assert known_after(observe, until) == Answer(point=GRID.top)


observations = st.builds(
    SettingObservation,
    margin=st.none() | st.floats(-3, 3),
    margin_se=st.floats(0.001, 0.5),
    cpu_cores=st.floats(0, 3),
    peak_mem_bytes=st.integers(0, 2048 * MIB),
    idle_mem_bytes=st.integers(0, 2048 * MIB),
)


@settings(max_examples=150, deadline=None)
@given(
    cores=st.floats(0.2, 4),
    mib=st.floats(50, 1500),
    parallel=st.sampled_from((1.0, 99.0)),
    wrong=st.floats(0, 0.4),
    order=st.randoms(use_true_random=False),
    lies=st.lists(observations, min_size=1, max_size=12),
)
def test_whatever_is_observed_it_ends_and_answers_only_what_its_own_trials_proved(
    cores: float,
    mib: float,
    parallel: float,
    wrong: float,
    order: random.Random,
    lies: list[SettingObservation],
):
    server, seen = Server(cores, mib, parallel, noise=0.05), list[tuple[Point, float | None]]()

    def observe(ask: Ask) -> SettingObservation:
        observation = order.choice(lies) if order.random() < wrong else server.observe(ask)
        seen.append((ask.point, observation.margin))
        return observation

    answer, _ = conduct(observe)
    if answer.point is None:
        return
    own = [margin for point, margin in seen if point == answer.point]
    assert len(own) >= 3
    assert None not in own, "one that broke is no answer"
    assert median(_of_as_much_cpu(seen, answer.point)) < 0
    for neighbour, found in answer.smaller:
        if found is Finding.FAILS:
            margins = _of_as_much_cpu(seen, neighbour)
            assert len(margins) >= 3
            assert median(margins) > 0


def _of_as_much_cpu(seen: list[tuple[Point, float | None]], asked: Point) -> list[float]:
    """The margins of a setting, and of those with more memory: that does not change latency."""
    return [
        margin
        for point, margin in seen
        if margin is not None and point._replace(mem=asked.mem) == asked and point.mem >= asked.mem
    ]


@settings(max_examples=100, deadline=None)
@given(cores=st.floats(0.2, 8), mib=st.floats(50, 3000), noise=st.floats(0, 0.3), cut=st.floats(0, 1))
def test_a_resumed_search_goes_on_as_if_it_had_not_been_interrupted(cores: float, mib: float, noise: float, cut: float):
    told: list[SettingObservation] = []
    server = Server(cores, mib, noise=noise)

    def observe(ask: Ask) -> SettingObservation:
        told.append(server.observe(ask))
        return told[-1]

    whole = conduct(observe)
    before, after = told[: int(cut * len(told))], iter(told[int(cut * len(told)) :])
    assert conduct(lambda _: next(after), before) == whole


def test_every_repeat_is_measured_longer_than_the_first_look():
    _, asked = conduct(Server(cores=1.0, mib=300).observe)
    seen: set[Point] = set()
    for ask in asked:
        assert ask.window_s == (120.0 if ask.point in seen else 60.0)
        seen.add(ask.point)
