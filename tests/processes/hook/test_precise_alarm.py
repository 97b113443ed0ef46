"""PreciseAlarm: when it rings, with a timer of Linux's own and with those of gevent."""

from __future__ import annotations

import time
from statistics import median

import gevent
import pytest

from loadstone.hook import precise_alarm
from loadstone.hook.precise_alarm import PreciseAlarm

MS = 1_000_000


@pytest.fixture(params=["timerfd", "gevent"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "gevent":
        monkeypatch.setattr(precise_alarm, "_opened", lambda: (None, None))
    return str(request.param)


def test_it_rings_once_for_each_time_that_it_is_set_and_never_early(kind: str):
    due_ns, late_us = [], []

    def ring() -> None:
        late_us.append((time.perf_counter_ns() - due_ns[-1]) / 1000)
        again() if len(due_ns) < 20 else alarm.close()

    def again() -> None:
        due_ns.append(time.perf_counter_ns() + 3 * MS)
        alarm.set(due_ns[-1])

    alarm = PreciseAlarm(ring)
    again()
    gevent.sleep(0.3)
    assert len(late_us) == 20
    assert min(late_us) >= (0 if kind == "timerfd" else -1000), "gevent's timers may end a little early"
    assert median(late_us) < (1000 if kind == "timerfd" else 5000)


def test_it_rings_at_once_when_the_moment_is_over_and_not_when_it_was_set_before(kind: str):
    rung = []
    alarm = PreciseAlarm(lambda: (rung.append(kind), alarm.close()))
    alarm.set(time.perf_counter_ns() + 60_000 * MS)
    gevent.sleep(0.02)
    assert rung == []
    alarm.set(time.perf_counter_ns() - MS)
    gevent.sleep(0.05)
    assert rung == [kind]


def test_it_is_silent_when_it_is_closed(kind: str):
    rung = []
    alarm = PreciseAlarm(lambda: rung.append(kind))
    alarm.set(time.perf_counter_ns() + 5 * MS)
    alarm.close()
    alarm.close()
    alarm.set(time.perf_counter_ns())
    gevent.sleep(0.03)
    assert rung == []
