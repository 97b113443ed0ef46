"""The search for the most users that a target as it is holds, as a conversation: levels of users in one run.

`MostUsers` grows the number of users until a level does not hold, halves the distance between the highest level that
holds and the lowest that does not (on a logarithmic scale), and then holds the answer for longer. A level is measured
until its margin is clear of zero, or for two minutes: one that is undecided never counts as held. Nothing is taken from
the ramp: a percentile over all requests since the start overestimates, because it remembers the quiet beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, hypot, sqrt
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from loadstone.capacity.evidence import Finding

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Level", "LevelSteps", "Measured", "MostUsers", "UsersAnswer"]

T = TypeVar("T")
_GROW: Final = 1.5
_RESOLUTION: Final = 1.05
_SURE: Final = 1.645
_BETWEEN_LEVELS_SD: Final = 0.03
"""Variation of the margin, as a logarithm, that the standard error within a level does not show."""
_SETTLE_S: Final = 15.0
_SETTLE_DOWN_S: Final = 10.0
"""In addition when users were taken away: requests that waited are answered first."""
_FIRST_S, _MORE_S, _LONGEST_S = 30.0, 30.0, 120.0
_HOLD_S, _LONGEST_HOLD_S = 120.0, 180.0


@dataclass(frozen=True, slots=True)
class Level:
    """Set the number of users, if it is another one wait ``settle_s``, and measure so many seconds more.

    The measurement is of everything since the level began; ``fresh``: begin it anew.
    """

    users: int
    settle_s: float
    measure_s: float
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The margin of a level so far, the largest ln(value / limit) over the objectives, and its standard error.

    ``broke``: the target crashed or ran out of memory, which decides.
    """

    margin: float
    margin_se: float
    broke: bool = False


LevelSteps: TypeAlias = "Generator[Level, Measured, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersAnswer:
    """``holds``: the most users that were proved to hold, None if not even the fewest did.

    ``not_held``: the fewest above them that did not hold, or could not be decided; None if all that were allowed hold.
    """

    holds: int | None
    not_held: int | None


@dataclass(slots=True)
class MostUsers:
    """The search from ``fewest`` to ``most`` users, beginning at ``first``."""

    fewest: int = 1
    most: int = 1_000_000
    first: int = 100
    _users: int = field(default=0, init=False)

    def steps(self) -> LevelSteps[UsersAnswer]:
        """The whole search: yields levels, is sent what was measured, and returns the answer."""
        low, high = yield from self._bracket()
        while low is not None and high is not None and (middle := _middle(low, high)) is not None:
            if (yield from self._level(middle)) is Finding.HOLDS:
                low = middle
            else:
                high = middle
        while low is not None:
            if (yield from self._level(low, _HOLD_S, _LONGEST_HOLD_S)) is Finding.HOLDS:
                break
            high = low
            low = max(self.fewest, floor(low / _RESOLUTION)) if low > self.fewest else None
        return UsersAnswer(holds=low, not_held=high)

    def _bracket(self) -> LevelSteps[tuple[int | None, int | None]]:
        """A level that holds and a higher one that does not; None for one that there is not within the range."""
        users = min(max(self.first, self.fewest), self.most)
        low, high = None, None
        if (yield from self._level(users)) is Finding.HOLDS:
            low = users
            while high is None and low < self.most:
                users = min(ceil(low * _GROW), self.most)
                if (yield from self._level(users)) is Finding.HOLDS:
                    low = users
                else:
                    high = users
        else:
            high = users
            while low is None and high > self.fewest:
                users = max(floor(high / _GROW), self.fewest)
                if (yield from self._level(users)) is Finding.HOLDS:
                    low = users
                else:
                    high = users
        return low, high

    def _level(self, users: int, measure_s: float = _FIRST_S, longest_s: float = _LONGEST_S) -> LevelSteps[Finding]:
        """Measure one level until it is decided, or for the longest time that is allowed."""
        settle_s = _SETTLE_S + (_SETTLE_DOWN_S if users < self._users else 0.0)
        self._users = users
        seen = yield Level(users, settle_s, measure_s, fresh=True)
        measured_s = measure_s
        while (finding := _finding(seen)) is Finding.UNDECIDED and measured_s < longest_s:
            seen = yield Level(users, 0.0, _MORE_S, fresh=False)
            measured_s += _MORE_S
        return finding


def _finding(seen: Measured) -> Finding:
    enough = _SURE * hypot(seen.margin_se, _BETWEEN_LEVELS_SD)
    if seen.broke or seen.margin > enough:
        return Finding.FAILS
    return Finding.HOLDS if seen.margin < -enough else Finding.UNDECIDED


def _middle(low: int, high: int) -> int | None:
    """The level to try between two; None if they are near enough."""
    if high <= max(low * _RESOLUTION, low + 1):
        return None
    return min(max(round(sqrt(low * high)), low + 1), high - 1)
