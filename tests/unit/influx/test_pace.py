"""The size of requests adapts to the time that writes take: in virtual time, with a double that only takes time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.delivery import Delivery
from loadstone.influx.pace import FEWEST_LINES, MOST_LINES, Pace

RATE, SHIPS_EVERY_S = 5000, 0.5
P99_S = 2.0


@dataclass
class SlowInflux:
    """A double of a slow InfluxDB: a request takes ``fixed_s`` and ``per_line_s`` for each of its lines."""

    fixed_s: float
    per_line_s: float
    now_s: float = 0.0
    stored_at_s: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def write(self, lines: bytes) -> WriteAnswer:
        n = lines.count(b"\n") + 1
        self.now_s += self.fixed_s + self.per_line_s * n
        self.sizes.append(n)
        self.stored_at_s += [self.now_s] * n
        return WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        raise AssertionError


def visible_after_s(influx: SlowInflux, *, seconds: int, backlog: int = 0) -> np.ndarray:
    """How long each of 5,000 requests/s took to be stored, from its end on; workers ship them twice a second."""
    delivery = Delivery(influx, lambda _: None, refused_pause_s=1, now_s=lambda: influx.now_s)
    ended = np.concatenate((np.zeros(backlog), np.arange(seconds * RATE) / RATE))
    shipped = (np.floor(ended / SHIPS_EVERY_S) + 1) * SHIPS_EVERY_S
    taken = 0
    while taken < len(ended):
        ready = int(np.searchsorted(shipped, influx.now_s, side="right"))
        if ready == taken:
            influx.now_s = float(shipped[taken])
            continue
        delivery.deliver(["x"] * (ready - taken))
        taken = ready
    return np.array(influx.stored_at_s) - ended


@pytest.mark.parametrize(
    ("fixed_s", "per_line_s"),
    [
        pytest.param(0.005, 0.00002, id="idle machine"),
        pytest.param(0.1, 0.00003, id="busy machine"),
        pytest.param(0.5, 0.00003, id="slow disk"),
        pytest.param(0.01, 0.00015, id="slow lines"),
        pytest.param(0.3, 0.0001, id="both slow"),
    ],
)
def test_99_of_100_requests_are_visible_within_2_s_at_5000_a_second(fixed_s: float, per_line_s: float):
    took_s = visible_after_s(SlowInflux(fixed_s, per_line_s), seconds=60)
    assert np.percentile(took_s, 99) < P99_S


def test_a_backlog_becomes_visible_piece_by_piece_where_lines_are_slow():
    influx = SlowInflux(0.01, 0.0002)
    visible_after_s(influx, seconds=1, backlog=60_000)
    later = influx.sizes[2:]
    assert max(later) <= 3000
    assert min(later[:-2]) >= FEWEST_LINES


def test_a_write_that_is_slow_whatever_it_holds_is_not_made_smaller():
    influx = SlowInflux(1.0, 0.00002)
    visible_after_s(influx, seconds=1, backlog=100_000)
    assert influx.sizes.count(MOST_LINES) >= 7


def test_the_size_recovers_when_writes_are_fast_again():
    pace = Pace()
    for n in (10_000, 2500, 2400, 2500, 2300):
        pace.note(n, 0.01 + n * 0.0002)
    assert pace.lines < 3000
    for _ in range(60):
        pace.note(pace.lines, 0.01 + pace.lines * 0.00002)
    assert pace.lines == MOST_LINES


@pytest.mark.parametrize("took_s", [0.0, -1.0, 1e9])
def test_the_size_stays_in_its_bounds_whatever_the_clock_says(took_s: float):
    pace = Pace()
    for n in (1, 10_000, 1, 1, 500, 500):
        pace.note(n, took_s)
        assert FEWEST_LINES <= pace.lines <= MOST_LINES
