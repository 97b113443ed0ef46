"""Levels: the amounts of load that a search may try.

Numbers of users are whole. Rates are rounded to three digits that matter, so that people can read and repeat them.
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Final, Protocol

__all__ = ["RATES", "USERS", "Levels"]

_GROW: Final = 2.0
_RESOLUTION: Final = 1.05


class Levels(Protocol):
    """Where a search goes from what it has tried."""

    def above(self, level: float) -> float:
        """Twice as much."""

    def below(self, level: float) -> float:
        """Half as much, and less in any case."""

    def slightly_below(self, level: float) -> float:
        """The next smaller level that can be told apart from this one."""

    def between(self, low: float, high: float) -> float | None:
        """The middle on a logarithmic scale; None if the two are near enough."""


class _Users:
    """Whole numbers."""

    def above(self, level: float) -> float:
        return ceil(level * _GROW)

    def below(self, level: float) -> float:
        return floor(level / _GROW)

    def slightly_below(self, level: float) -> float:
        return floor(level / _RESOLUTION)

    def between(self, low: float, high: float) -> float | None:
        if high <= max(low * _RESOLUTION, low + 1):
            return None
        return min(max(round(sqrt(low * high)), low + 1), high - 1)


class _Rates:
    """Arrivals per second. The resolution is five times the coarsest rounding, so each level differs from the last."""

    def above(self, level: float) -> float:
        return _rounded(level * _GROW)

    def below(self, level: float) -> float:
        return _rounded(level / _GROW)

    def slightly_below(self, level: float) -> float:
        return _rounded(level / _RESOLUTION)

    def between(self, low: float, high: float) -> float | None:
        return None if high <= low * _RESOLUTION else _rounded(sqrt(low * high))


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


USERS: Final[Levels] = _Users()
RATES: Final[Levels] = _Rates()
