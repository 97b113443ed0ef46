"""Turns: who reads when, with threads whose writes last until they are told to end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from loadstone.influx import turns as turns_module
from loadstone.influx.turns import Turns
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FOR_EVER_S = 600.0


class Writers:
    """Threads that read once and then write until `end`."""

    def __init__(self, turns: Turns) -> None:
        self.began: list[str] = []
        self._turns = turns
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def start(self, *names: str) -> None:
        for name in names:
            self._ends[name] = threading.Event()
            self._threads.append(threading.Thread(target=self._work, args=(name,)))
            self._threads[-1].start()

    def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()

    def end_all(self) -> None:
        self.end(*self._ends)
        for thread in self._threads:
            thread.join()

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: self.began == list(names), f"these have begun: {names}, not {self.began}")

    def _work(self, name: str) -> None:
        with self._turns.reading():
            begun_s = self._turns.begin()
            self.began.append(name)
        self._ends[name].wait(60)
        self._turns.end(begun_s)


@pytest.fixture
def writers() -> Iterator[Writers]:
    made = Writers(Turns())
    yield made
    made.end_all()


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long the next writer waits for the end of a write."""
    monkeypatch.setattr(turns_module, "_SHORTEST_S", seconds)
    monkeypatch.setattr(turns_module, "_LONGEST_S", seconds)


def test_while_writes_end_in_time_there_is_one_at_a_time_and_the_next_begins_at_its_end(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
):
    patience(monkeypatch, FOR_EVER_S)
    writers.start("a")
    writers.wait_for("a")
    writers.start("b")
    threading.Event().wait(0.3)  # nothing may happen
    assert writers.began == ["a"]
    writers.end("a")
    writers.wait_for("a", "b")


def test_the_next_begins_when_a_write_takes_too_long(writers: Writers, monkeypatch: pytest.MonkeyPatch):
    patience(monkeypatch, 0.01)
    writers.start("a")
    writers.wait_for("a")
    writers.start("b")
    writers.wait_for("a", "b")


def test_the_end_of_one_of_two_writes_begins_no_third(writers: Writers, monkeypatch: pytest.MonkeyPatch):
    """The other is in flight still: where InfluxDB takes one after the other, a third would wait for it."""
    patience(monkeypatch, 0.01)
    writers.start("a")
    writers.wait_for("a")
    writers.start("b")
    writers.wait_for("a", "b")
    patience(monkeypatch, FOR_EVER_S)
    writers.start("c")
    writers.end("a")
    threading.Event().wait(0.3)  # nothing may happen
    assert writers.began == ["a", "b"]
    writers.end("b")
    writers.wait_for("a", "b", "c")


def test_a_reader_that_fails_leaves_the_turn_to_the_next():
    turns = Turns()
    with pytest.raises(OSError, match="no answer"), turns.reading():
        raise OSError("no answer")
    with turns.reading():
        pass


def test_those_who_wait_read_in_the_order_in_which_they_came(writers: Writers, monkeypatch: pytest.MonkeyPatch):
    patience(monkeypatch, FOR_EVER_S)
    names = ["a", "b", "c", "d"]
    for at, name in enumerate(names, start=1):
        writers.start(name)
        wait_until(lambda at=at: len(writers.began) + len(writers._turns._queue) == at, f"{name} waits")
    for name in names[:-1]:
        writers.end(name)
    writers.wait_for(*names)


@pytest.mark.parametrize(
    ("took_s", "patience_s"),
    [
        pytest.param([0.01] * 9, 0.1, id="fast writes"),
        pytest.param([0.4] * 9, 0.5, id="slow writes"),
        pytest.param([0.4] * 6 + [60.0] * 3, 0.5, id="a few that hung"),
        pytest.param([60.0] * 9, 2.0, id="an outage"),
    ],
)
def test_patience_is_a_quarter_more_than_what_writes_usually_take(
    monkeypatch: pytest.MonkeyPatch, took_s: list[float], patience_s: float
):
    now_s = [0.0]
    monkeypatch.setattr(turns_module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    turns = Turns()
    for seconds in took_s:
        begun_s = turns.begin()
        now_s[0] += seconds
        turns.end(begun_s)
    assert turns._patience_s == pytest.approx(patience_s)
