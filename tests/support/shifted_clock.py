"""Gives real Locust processes a wall clock that is wrong, and can be set while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["COUNTER", "WITH_CLOCK", "Clock"]

WITH_CLOCK = """
import os, sys, time
from pathlib import Path

if "CLOCK_AHEAD_NS" in os.environ and os.environ.get("CLOCK_OF", "") in sys.argv + [""]:
    ahead, true_ns = Path(os.environ["CLOCK_AHEAD_NS"]), time.time_ns  # this process's clock is ahead by what is in it
    time.time_ns = lambda: true_ns() + int(ahead.read_text())
    time.time = lambda: time.time_ns() / 1e9
"""
"""The beginning of a scenario whose processes have the clock of `Clock`."""
COUNTER = """
from locust import FastHttpUser, constant, task

class Counter(FastHttpUser):
    wait_time = constant(0.01)
    asked = 0

    @task
    def ask(self):
        self.client.get("/page", name=f"/{self.asked % 10}")
        self.asked += 1
"""
_NS_PER_S = 1_000_000_000


class Clock:
    """The wall clock of Locust processes that are started after this was made.

    ``of``: a word that the command line of these processes has, such as ``--worker``; "" for all.
    """

    def __init__(self, folder: Path, ahead_s: float, monkeypatch: pytest.MonkeyPatch, *, of: str = "") -> None:
        self._file = folder / "ahead"
        self._ahead_s = 0.0
        self.step(ahead_s)
        monkeypatch.setenv("CLOCK_AHEAD_NS", str(self._file))
        monkeypatch.setenv("CLOCK_OF", of)

    def step(self, seconds: float) -> None:
        """Set it forward, or back."""
        self._ahead_s += seconds
        new = self._file.with_suffix(".new")
        new.write_text(str(round(self._ahead_s * _NS_PER_S)))
        new.replace(self._file)
