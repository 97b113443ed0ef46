"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass

from loadstone.domain.time import NS_PER_S, Clock


@dataclass
class FakeClock:
    """``now_ns`` and ``monotonic_s`` as the program under test reads them from `clock`."""

    now_ns: int = 0
    monotonic_s: float = 1000.0

    @property
    def clock(self) -> Clock:
        """What the program under test is given."""
        return Clock(now_ns=lambda: self.now_ns, monotonic_s=lambda: self.monotonic_s)

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.now_ns += round(seconds * NS_PER_S)
        self.monotonic_s += seconds
