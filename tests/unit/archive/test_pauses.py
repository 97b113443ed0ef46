"""A target that stops answering is told from users that think, wait for each other, or are few."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.archive.finalize.answers import Answers, Quiet
from loadstone.archive.finalize.pauses import StuckUsers, UserSeconds, Waiting, pauses_of
from loadstone.domain.cut import CutRequest
from loadstone.domain.event import EventKind
from loadstone.domain.facts import Window
from loadstone.domain.stall import Stall
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample
from support.varied_run import closed

if TYPE_CHECKING:
    from loadstone.domain.pause import Pause

LENGTH_S = 60.0


@dataclass(frozen=True)
class Schedule:
    """What each of so many users does: a request, then a pause up to the pacing, or of ``wait_s``."""

    users: int = 5
    wait_s: float = 0.05
    pacing_s: float = 0.0
    duration_s: float = 0.02
    together: bool = False
    from_s: float = 0.0
    to_s: float = LENGTH_S
    name: str = "/"


def requests_of(schedule: Schedule, hang: tuple[float, float] | None = None) -> tuple[list[Sample], list[CutRequest]]:
    """What they send to a target that answers nobody during ``hang``: ended requests, and those cut off at the end."""
    ended, cut, chance = [], [], random.Random(1)
    for user in range(schedule.users):
        pace = schedule.pacing_s or schedule.wait_s or schedule.duration_s
        at_s = schedule.from_s + (0 if schedule.together else chance.uniform(0, pace))
        while at_s < schedule.to_s:
            end_s = at_s + schedule.duration_s
            if hang and end_s > hang[0] and at_s < hang[1]:
                end_s = hang[1] + schedule.duration_s
            if end_s >= LENGTH_S:
                cut.append(CutRequest("GET", schedule.name, START + round(at_s * SECOND), round((64 - at_s) * 1e6)))
                break
            taken_us = round((end_s - at_s) * 1e6)
            ended.append(Sample(end_s + user * 1e-7, duration_us=taken_us, name=("GET", schedule.name)))
            at_s = max(end_s, at_s + schedule.pacing_s) + schedule.wait_s
    return ended, cut


def run_of(tmp_path, *schedules: Schedule, hang: tuple[float, float] | None = None, **changes):
    """The closed run of these schedules together, each with its users while it lasts."""
    run, incarnation = RunMaker(), IncarnationMaker()
    run.event(EventKind.STARTED, 0, users=1, stop_timeout_s=4.0).event(EventKind.ROSTER, 0, workers=[0])
    run.event(EventKind.RAMP_DONE, 0)
    for second in range(round(LENGTH_S)):
        users = sum(each.users for each in schedules if each.from_s <= second < each.to_s)
        run.event(EventKind.USERS, second, users=users, target_users=users, workers=1)
    parts = [requests_of(each, hang) for each in schedules]
    ended = sorted((sample for part, _ in parts for sample in part), key=lambda sample: sample.end_s)
    cut = tuple(each for _, part in parts for each in part)
    run.add(incarnation.batch(ended, at_s=LENGTH_S + 4, aborted=len(cut), cut=cut, final=True, **changes))
    run.stopped(LENGTH_S, requests=len(ended))
    return closed(tmp_path, run.entries)


def doubtful(result):
    record = result.record
    return [pause for pause in (*record.silences, *record.lulls) if pause.doubtful]


CALM = {
    "users without a pause": [Schedule()],
    "one user every 10 s": [Schedule(users=1, pacing_s=10.0, wait_s=0.0)],
    "three users that pause for 20 s": [Schedule(users=3, wait_s=20.0)],
    "all users at the same moment, every 15 s": [Schedule(users=50, pacing_s=15.0, wait_s=0.0, together=True)],
    "one user whose requests take 12 s": [Schedule(users=1, duration_s=12.0)],
    "users in step whose requests take 4 s": [Schedule(users=20, duration_s=4.0, together=True)],
    "a shape that sinks to few users": [Schedule(users=50, to_s=20), Schedule(users=1, from_s=20, wait_s=2.0)],
    "a shape with a break": [Schedule(users=20, to_s=20), Schedule(users=20, from_s=40)],
    "a shape with a spike": [Schedule(users=1, wait_s=1.0), Schedule(users=100, from_s=30, to_s=35)],
    "quick requests and a slow one": [Schedule(users=1, wait_s=5.0), Schedule(users=1, duration_s=11.0, name="/slow")],
}


@pytest.mark.parametrize("what", CALM)
def test_a_target_that_answers_everybody_is_never_doubted(what, tmp_path):
    result = run_of(tmp_path, *CALM[what])
    assert doubtful(result) == []
    assert result.verdict.word == "pass", result.verdict.reasons


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(users=100, wait_s=10.0), Schedule(users=2, pacing_s=1.0)])
@pytest.mark.parametrize("hang", [(20.0, 30.0), (0.0, 8.0), (40.0, 90.0)])
def test_a_target_that_answers_nobody_is_doubted_with_its_times(schedule, hang, tmp_path):
    result = run_of(tmp_path, schedule, hang=hang)
    pauses = doubtful(result)
    assert len(pauses) == 1
    assert (result.verdict.word, pauses[0].answered) == ("inconclusive", 0)
    assert hang[0] - 0.05 <= pauses[0].start_s < hang[0] + 1.1
    assert pauses[0].end_s == pytest.approx(min(hang[1], LENGTH_S), abs=0.2)
    assert pauses[0].waiting >= 1
    assert any("nobody was answered for" in reason for reason in result.verdict.reasons)


def test_a_silence_that_cost_hardly_any_request_is_only_told(tmp_path):
    result = run_of(tmp_path, Schedule(users=1, pacing_s=10.0, wait_s=0.0), hang=(20.0, 25.0))
    assert result.verdict.word == "pass"
    assert [pause.doubtful for pause in result.record.silences] == [False]
    assert any("closed model" in notice for notice in result.verdict.notices)


@pytest.mark.parametrize(("still_s", "expected"), [(9.8, "pass"), (4.0, "inconclusive")])
def test_a_silence_while_the_only_worker_stood_still_is_not_the_targets(still_s, expected, tmp_path):
    """The target is silent from 20 s to 30 s, or so it seems to a worker that stood still for ``still_s`` of them."""
    stall = Stall(START + 30 * SECOND, round(still_s * 1e6), 0)
    lags = (stall.length_us, *[100] * 5000)
    result = run_of(tmp_path, Schedule(), hang=(20.0, 30.0), stalls=(stall,), loop_lag_us=lags)
    told = [text for text in (*result.verdict.reasons, *result.verdict.notices) if "nobody was answered" in text]
    assert (result.verdict.word, bool(told)) == (expected, expected != "pass"), result.verdict.reasons
    assert all("for 5.9" in text for text in told), told


def test_a_target_that_answers_hardly_anybody_for_a_while_is_doubted(tmp_path):
    """Nineteen of twenty users wait from 20 s to 40 s, and one goes on."""
    stuck, lucky = Schedule(users=19), Schedule(users=1, wait_s=0.7)
    run, incarnation = RunMaker().started(0), IncarnationMaker()
    ended, _ = requests_of(stuck, hang=(20.0, 40.0))
    ended = sorted([*ended, *requests_of(lucky)[0]], key=lambda sample: sample.end_s)
    run.add(incarnation.batch(ended, at_s=LENGTH_S, final=True)).stopped(LENGTH_S, requests=len(ended))
    result = closed(tmp_path, run.entries)
    (pause,) = doubtful(result)
    assert 15 < pause.answered < pause.expected / 10
    assert any(reason.startswith(f"only {pause.answered} answers came in") for reason in result.verdict.reasons)


@settings(max_examples=25, deadline=None)
@given(
    users=st.integers(1, 30),
    pacing_s=st.sampled_from([0.0, 0.5, 2.0, 5.0, 10.0, 25.0]),
    wait_s=st.sampled_from([0.0, 0.3, 1.0, 7.0, 20.0]),
    duration_s=st.sampled_from([0.05, 0.4, 2.0, 6.0, 13.0]),
    together=st.booleans(),
)
def test_no_schedule_by_itself_is_a_doubt(users, pacing_s, wait_s, duration_s, together, tmp_path_factory):
    schedule = Schedule(users, wait_s, pacing_s, duration_s, together)
    assert doubtful(run_of(tmp_path_factory.mktemp("run"), schedule)) == []


@dataclass(frozen=True)
class Varied:
    """Users without think time whose requests take a log-normally distributed time, as those of a chat do."""

    users: int
    median_s: float
    sigma: float
    length_s: float

    def pauses(self, seed: int, hang: tuple[float, float] = (0.0, 0.0)) -> list[Pause]:
        """The doubtful pauses of one run; with ``hang``, in which nobody is answered."""
        window = Window(START, START + round(self.length_s * SECOND))
        starts, ends = (np.round(np.array(each) * SECOND).astype(np.int64) + START for each in self._spans(seed, hang))
        late, order = ends >= window.end_ns, np.argsort(ends)
        ends = np.minimum(ends, window.end_ns + 1)
        durations_us, answers = (ends - starts) // 1000, Answers()
        answers.take(ends[order][~late[order]])
        block, names = SimpleNamespace(end_ns=ends, duration_us=durations_us), np.zeros(len(ends), np.int64)
        block.name_id = names
        found = []
        for quiet in (answers.silences(window), answers.lulls(window)):
            waiting = Waiting(quiet)
            waiting.take(block)
            usual_us = {0: float(np.median(durations_us[~late]))}
            per_second = UserSeconds({START // SECOND + second: self.users for second in range(int(self.length_s) + 1)})
            found += pauses_of(waiting, usual_us, window, per_second, int((~late).sum()), ())
        return [pause for pause in found if pause.is_doubtful]

    def _spans(self, seed: int, hang: tuple[float, float]) -> tuple[list[float], list[float]]:
        chance, starts, ends = np.random.default_rng(seed), [], []
        for _ in range(self.users):
            at_s = 0.0
            while at_s < self.length_s:
                end_s = at_s + float(chance.lognormal(math.log(self.median_s), self.sigma))
                if at_s < hang[1] and end_s > hang[0]:
                    end_s = hang[1] + end_s - max(at_s, hang[0])
                starts.append(at_s)
                ends.append(end_s)
                at_s = end_s
        return starts, ends


VARIED = [
    Varied(1, 1.0, 0.7, 60),
    Varied(1, 1.0, 0.7, 300),
    Varied(1, 0.3, 1.0, 120),
    Varied(2, 0.5, 1.0, 60),
    Varied(2, 0.5, 1.0, 300),
    Varied(4, 0.5, 1.3, 60),
    Varied(6, 0.5, 1.3, 60),
    Varied(10, 1.0, 1.0, 60),
]


@pytest.mark.parametrize("run", VARIED, ids=str)
def test_durations_that_vary_are_no_doubt_even_with_few_users(run):
    assert sum(bool(run.pauses(seed)) for seed in range(300)) < 3


@pytest.mark.parametrize("run", VARIED, ids=str)
def test_a_hang_of_half_the_window_is_a_doubt_with_however_few_users(run):
    hang = (run.length_s / 4, run.length_s * 3 / 4)
    assert sum(bool(run.pauses(seed, hang)) for seed in range(50)) >= 45


@pytest.mark.parametrize(("reported_s", "pauses"), [(8.0, 0), (41.0, 1), (60.5, 0)])
def test_users_that_were_stuck_are_charged_to_when_they_were(reported_s, pauses):
    """Nobody was answered from 20 s to 40 s, and no request that is known waited then."""
    window = Window(START, START + 60 * SECOND)
    waiting = Waiting([Quiet(START + 20 * SECOND, START + 41 * SECOND, 0)])
    stuck = [StuckUsers(START + round(reported_s * SECOND), 3)]
    assert len(pauses_of(waiting, {}, window, UserSeconds({}), 100, stuck)) == pauses
