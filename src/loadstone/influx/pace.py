"""Pace: how many lines a request holds, from how long the writes before it took.

A write takes about ``fixed + lines * per_line`` seconds. Both are fitted by least squares to the newest writes, each
counting 15 % less than the one after it. A request is to take half a second, so that what has piled up becomes
visible piece by piece; where a write is slow whatever it holds, a request is so long that the fixed part is at most a
fifth of it, because smaller ones would only lower the rate.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FEWEST_LINES", "MOST_LINES", "Pace"]

MOST_LINES: Final = 10_000
"""Lines of one request (InfluxDB's own advice is 5,000 to 10,000)."""

FEWEST_LINES: Final = 500
"""Requests are not made smaller than this because they are slow: below it, the size is not what makes them slow."""

_TARGET_S: Final = 0.5
_FIXED_SHARES: Final = 4.0
_KEPT: Final = 0.85
_LEAST_PER_LINE_S: Final = 1e-6
_LEAST_SPREAD: Final = 0.01
"""Sizes that differ by less than about a tenth say nothing about what a line costs: then others are tried."""


class Pace:
    """``lines`` is the number of lines to send in the next request at most."""

    def __init__(self) -> None:
        self.lines = MOST_LINES
        self._n = self._lines = self._seconds = self._squares = self._products = 0.0

    def note(self, lines: int, seconds: float) -> None:
        """A write of so many lines took so long."""
        self._n = _KEPT * self._n + 1
        self._lines = _KEPT * self._lines + lines
        self._seconds = _KEPT * self._seconds + seconds
        self._squares = _KEPT * self._squares + lines * lines
        self._products = _KEPT * self._products + lines * seconds
        wanted = self._wanted(seconds)
        if (
            wanted > self.lines or 2 * lines >= self.lines
        ):  # only a request of about that size tells that it is too large
            self.lines = int(min(max(wanted, FEWEST_LINES), MOST_LINES))

    def _wanted(self, seconds: float) -> float:
        spread = self._squares - self._lines**2 / self._n
        if spread <= _LEAST_SPREAD * self._squares:
            return self.lines * (2 if seconds <= _TARGET_S else 0.5)
        slope = (self._products - self._lines * self._seconds / self._n) / spread
        per_line_s = max(_LEAST_PER_LINE_S, slope)
        fixed_s = (self._seconds - per_line_s * self._lines) / self._n
        return max(_TARGET_S, _FIXED_SHARES * fixed_s) / per_line_s
