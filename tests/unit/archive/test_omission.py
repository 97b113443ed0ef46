"""What users of a closed run did not send: users and targets are simulated, and so is the open model beside them."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loadstone.archive.finalize.pauses import UserSeconds
from loadstone.archive.finalize.starts import StartsInWindow
from loadstone.domain.cut import CutRequest
from loadstone.domain.facts import TargetFacts, Window
from loadstone.domain.kept_pace import kept_pace_ms, pace_notices
from loadstone.domain.objective import parse_objectives
from loadstone.domain.rollup import roll_up
from loadstone.domain.stall import Stall
from support.fact_maker import facts
from support.run_maker import SECOND, START

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.domain.facts import RunFacts
    from loadstone.domain.omission import Omission

    Wait = Callable[[random.Random, float], float]
    Takes = Callable[[random.Random], float]

PERCENTS = (50.0, 90.0, 95.0, 99.0)


def pacing(period_s: float) -> Wait:
    return lambda _, took_s: max(0.0, period_s - took_s)


def between(least_s: float, most_s: float) -> Wait:
    return lambda chance, _: chance.uniform(least_s, most_s)


def no_wait(_chance: random.Random, _took_s: float) -> float:
    return 0.0


def quick(_chance: random.Random) -> float:
    return 0.005


def take(starts: StartsInWindow, at_s: np.ndarray, took_s: np.ndarray, name: np.ndarray | int = 0) -> StartsInWindow:
    """Let it take in requests by when they began and how long they took, in seconds."""
    took_us = np.rint(took_s * 1e6).astype(np.int64)
    end_ns = START + np.rint(at_s * SECOND).astype(np.int64) + np.maximum(took_us, 0) * 1000
    block: Any = SimpleNamespace(end_ns=end_ns, duration_us=took_us, name_id=np.zeros(len(at_s), np.int64) + name)
    starts.take(block)
    return starts


@dataclass(frozen=True)
class Target:
    """Stalls from every multiple of ``every_s`` on for ``stall_s``; without that, an answer takes ``takes``."""

    every_s: float = 10.0
    stall_s: float = 0.0
    takes: Takes = quick

    def took_s(self, at_s: float, chance: random.Random) -> float:
        return max(0.0, self.stall_s - at_s % self.every_s) + self.takes(chance)


@dataclass(frozen=True)
class Run:
    """So many users against a target, from half a second after their start on."""

    users: int
    wait: Wait
    target: Target
    seconds: float = 60.0
    seed: int = 1

    def requests(self) -> tuple[np.ndarray, np.ndarray]:
        """Start and duration of each request, in seconds."""
        chance, found = random.Random(self.seed), []
        due = [chance.random() / 2 for _ in range(self.users)]
        heapq.heapify(due)
        while due:
            at_s = heapq.heappop(due)
            if at_s < self.seconds:
                took_s = self.target.took_s(at_s, chance)
                found.append((at_s, took_s))
                heapq.heappush(due, at_s + took_s + self.wait(chance, took_s))
        return np.array(found).T

    @property
    def window(self) -> Window:
        return Window(START, START + round(self.seconds * SECOND))

    def starts(self, blocks: int = 1) -> StartsInWindow:
        """Gathered in blocks, each by the ends of its requests."""
        at_s, took_s = self.requests()
        order = np.argsort(at_s + took_s)
        starts = StartsInWindow(self.window)
        for rows in np.array_split(order, blocks):
            take(starts, at_s[rows], took_s[rows])
        return starts

    def omission(self, stalls: tuple[Stall, ...] = (), blocks: int = 1) -> Omission | None:
        per_second = {START // SECOND + second: self.users for second in range(int(self.seconds) + 1)}
        return self.starts(blocks).omission(UserSeconds(per_second), stalls)

    def measured(self) -> RunFacts:
        """What users measured, and what they did not send."""
        took_us = np.rint(self.requests()[1] * 1e6).astype(np.int64)
        zeros = np.zeros(len(took_us), np.int64)
        measured = roll_up(zeros, zeros, took_us, zeros, zeros > 0)[(0, 0)]
        return facts(total=measured, window=self.window, target=TargetFacts(omission=self.omission()))

    def open_ms(self, rate: float) -> np.ndarray:
        """Percentiles of callers that come at this rate, whatever the target does."""
        chance = random.Random(self.seed)
        took_s = [self.target.took_s(at / rate, chance) for at in range(int(self.seconds * rate))]
        return np.percentile(took_s, PERCENTS, method="inverted_cdf") * 1000


STALLING = {
    "a second of ten": Run(20, pacing(0.1), Target(10, 1)),
    "users without a wait": Run(4, no_wait, Target(10, 1)),
    "users that rest as long": Run(20, lambda *_: 0.1, Target(10, 1)),
    "three seconds of eight": Run(20, pacing(0.1), Target(8, 3)),
    "most of the time": Run(20, pacing(0.1), Target(10, 6)),
    "a third of the time, with users that think": Run(400, between(1, 3), Target(15, 5)),
    "once in five minutes": Run(50, pacing(0.25), Target(300, 12), seconds=300),
}


@pytest.mark.parametrize("run", STALLING.values(), ids=STALLING.keys())
def test_p99_is_what_callers_feel_who_do_not_wait(run: Run):
    found = run.measured()
    assert found.target.omission is not None
    kept, wanted = kept_pace_ms(found, (99.0,)), run.open_ms(found.target.omission.rate)[3]
    assert kept == [pytest.approx(wanted, rel=0.1)]
    assert {type(each) for each in (*kept, found.target.omission.rate, found.target.omission.seconds)} == {float}


def test_what_users_measured_says_too_little_and_the_notice_tells_what_it_would_be():
    found = STALLING["users without a wait"].measured()
    objectives = parse_objectives(["p95<100ms", "p99<2s", "p99[/predict]<101ms", "failures<=1%"])
    (notice,) = pace_notices(objectives, found)
    assert found.total.percentile_us(99) == pytest.approx(5000, rel=0.005)
    assert notice == (
        "closed model: while the target was slow, users waited, and sent about 4,750 requests fewer than usual in "
        "6.075 s of the window. Had they kept their pace of about 800 requests a second, p95 would be 492.5 ms instead "
        "of 5.008 ms, p99 would be 890.9 ms instead of 5.008 ms, and p95<100ms would be missed. With `--rate` nobody "
        "waits for answers"
    )


def some_slow(share: float, slow_s: float, quick_s: float) -> Takes:
    return lambda chance: slow_s if chance.random() < share else quick_s


def varied(median_s: float, sigma: float) -> Takes:
    return lambda chance: median_s * float(np.exp(chance.gauss(0, sigma)))


STEADY = {
    "one of a hundred is slow": Run(20, no_wait, Target(takes=some_slow(0.01, 5, 0.01))),
    "the same with pacing": Run(20, pacing(0.1), Target(takes=some_slow(0.01, 5, 0.01))),
    "three of a hundred are slow, with four users": Run(4, no_wait, Target(takes=some_slow(0.03, 2, 0.02)), 120),
    "the same with eight users": Run(8, no_wait, Target(takes=some_slow(0.03, 2, 0.02)), 120),
    "one of ten is slow": Run(6, no_wait, Target(takes=some_slow(0.1, 1, 0.01)), 120),
    "the same with twenty users": Run(20, no_wait, Target(takes=some_slow(0.1, 1, 0.01)), 120),
    "a hundred users that rarely ask": Run(100, pacing(10), Target(takes=some_slow(0.03, 4, 0.005)), 120),
    "one user": Run(1, no_wait, Target(takes=some_slow(0.02, 2, 0.01))),
    "durations that vary": Run(20, no_wait, Target(takes=varied(0.05, 1))),
    "the same with four users": Run(4, no_wait, Target(takes=varied(0.05, 1))),
    "durations that vary more": Run(5, no_wait, Target(takes=varied(0.05, 1.5)), 120),
    "durations that vary much": Run(20, no_wait, Target(takes=varied(0.02, 2)), 120),
    "the same with six users": Run(6, no_wait, Target(takes=varied(0.02, 2)), 120),
    "durations without a limit": Run(5, no_wait, Target(takes=lambda chance: 0.02 * chance.paretovariate(1.2)), 120),
    "long answers": Run(16, no_wait, Target(takes=lambda chance: chance.uniform(1, 8)), 300),
    "users that think": Run(10, between(1, 3), Target()),
    "users that come and go together": Run(20, lambda chance, _: 3.0 if chance.random() < 0.02 else 0.0, Target()),
}


@pytest.mark.parametrize("run", STEADY.values(), ids=STEADY.keys())
def test_a_target_that_does_not_stall_gives_no_notice(run: Run):
    noticed = [seed for seed in range(12) if list(pace_notices((), replace(run, seed=seed).measured()))]
    assert len(noticed) <= 1


def test_it_does_not_matter_in_which_order_and_parts_requests_are_read():
    run = STALLING["a second of ten"]
    assert run.omission(blocks=7) == run.omission()


def test_time_in_which_a_worker_stood_still_is_left_out():
    """The load generator may be the reason why nothing was sent."""
    run = Run(20, pacing(0.1), Target(40, 2))
    assert run.omission() is not None
    stood_still = tuple(Stall(START + round((at_s + 2.1) * SECOND), 2_100_000, 0) for at_s in (0, 40))
    assert run.omission(stood_still) is None


def test_requests_that_were_cut_off_count_from_when_they_were_sent():
    run = Run(20, pacing(0.1), Target(1000, 0), seconds=30)
    starts, quiet = StartsInWindow(Window(START, START + 40 * SECOND)), UserSeconds({START // SECOND: 20})
    take(starts, *run.requests())
    assert starts.omission(quiet, ()) is None, "nobody is known to have waited"
    starts.take_cut([CutRequest("GET", "/", START + 30 * SECOND + each, 10_000_000) for each in range(20)])
    found = starts.omission(quiet, ())
    assert found is not None
    assert found.rollup.n == pytest.approx(2000, rel=0.05)
    assert found.rollup.percentile_us(50) == pytest.approx(5e6, rel=0.05)


def starts_of(at_s: np.ndarray, took_s: np.ndarray, seconds: float, name: np.ndarray | int = 0) -> StartsInWindow:
    return take(StartsInWindow(Window(START, START + round(seconds * SECOND))), at_s, took_s, name)


def test_requests_without_a_duration_and_outside_of_the_window_do_not_matter():
    run = STALLING["a second of ten"]
    at_s, took_s = run.requests()
    others_s = np.concatenate([np.full(50, -3.0), np.full(50, run.seconds), np.full(50, 7.0)])
    others_took_s = np.concatenate([np.full(100, 0.4), np.full(50, -1e-6)])
    more = starts_of(np.append(at_s, others_s), np.append(took_s, others_took_s), run.seconds)
    assert more.omission(UserSeconds({START // SECOND: run.users}), ()) == run.omission()


def test_requests_that_are_slow_under_another_name_keep_nobody_waiting():
    """All users ask for the same report at once, and it takes three seconds: that is what they are made for."""
    at_s = np.concatenate([10.0 * turn + np.linspace(0, 5, 1000) for turn in range(6)])
    report_s = np.repeat(10.0 * np.arange(6) + 5, 20) + np.tile(np.arange(20) / 1000, 6)
    took_s = np.concatenate([np.full(6000, 0.02), np.full(120, 5.0)])
    users = UserSeconds({START // SECOND: 20})
    all_s = np.concatenate([at_s, report_s])
    assert starts_of(all_s, took_s, 60).omission(users, ()) is not None
    assert starts_of(all_s, took_s, 60, np.repeat([0, 1], [6000, 120])).omission(users, ()) is None


def test_a_load_shape_whose_users_the_target_cannot_serve_lacks_nothing():
    """500 requests a second is all that it can do, with 100 users and with 1,000."""
    at_s = np.concatenate([np.linspace(0, 20, 2_000), np.linspace(20, 60, 20_000)])
    took_s = np.concatenate([np.full(2_000, 0.1), np.full(20_000, 2.0)])
    users = UserSeconds({START // SECOND: 10, START // SECOND + 20: 1_000})
    assert starts_of(at_s, took_s, 60).omission(users, ()) is None


def test_user_counts_that_no_locust_reports_are_no_reason_to_lose_an_archive():
    run = STALLING["a second of ten"]
    odd = {START // SECOND + second: 20 if second % 2 else -100 for second in range(60)}
    assert run.starts().omission(UserSeconds(odd), ()) is None
    assert run.starts().omission(UserSeconds({START // SECOND + 3600: 20}), ()) is None


def test_differences_of_less_than_a_millisecond_are_not_worth_a_sentence():
    run = Run(20, pacing(0.1), Target(10, 0.3, lambda _: 0.0004), seconds=3000)
    found = run.measured()
    assert found.target.omission is not None
    assert not any("p50" in notice or "p90" in notice for notice in pace_notices((), found))


def test_a_window_too_short_to_tell_lacks_nothing():
    assert Run(20, pacing(0.1), Target(10, 0.2), seconds=0.6).omission() is None
    assert StartsInWindow(Window(START, START)).omission(UserSeconds({}), ()) is None
