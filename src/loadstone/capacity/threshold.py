"""Threshold: where, on the axis of CPU steps, a target begins to hold its load.

A probability for each step, and one for "none of them", is updated by each trial (probabilistic bisection with noisy
answers; Waeber, Frazier and Henderson 2013). It guides the search only: what it finds is proved afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, sqrt
from typing import Final

__all__ = ["Threshold"]

_PRIOR_STEPS: Final = 2.0
"""How far, in steps, the utilisation law is usually off."""
_PRIOR_FLOOR: Final = 0.02
_LEAST_DOUBT: Final = 0.04
"""No trial is believed more than this: one in twenty-five goes wrong, and not every one of those is noticed."""
_LEAST_WHEN_OUT_OF_MEMORY: Final = 0.03


@dataclass(slots=True)
class Threshold:
    """Probabilities that the smallest step that holds is ``first``, ``first + 1``, ...; the last is "none"."""

    first: int
    chances: list[float]

    @classmethod
    def around(cls, seed: int | None, first: int, last: int, *, none_at_least: float) -> Threshold:
        """Begin with a guess: steps from ``first`` to ``last``, most likely near ``seed``, or all alike without one."""
        steps = range(first, last + 2)
        if seed is None:
            chances = [1.0 for _ in steps]
        else:
            chances = [exp(-abs(step - min(seed, last + 1)) / _PRIOR_STEPS) + _PRIOR_FLOOR for step in steps]
        chances[-1] = max(chances[-1], none_at_least * sum(chances))
        return cls(first, _normalised(chances))

    @property
    def certainty(self) -> float:
        """The probability of the likeliest answer."""
        return max(self.chances)

    @property
    def likeliest(self) -> int | None:
        """The likeliest step; None if it is likelier that none holds."""
        index = self.chances.index(self.certainty)
        return None if index == len(self.chances) - 1 else self.first + index

    def middle(self) -> int:
        """The step to try next: half of the probability lies below it, as nearly as there is one."""
        below, index = 0.0, 0
        while below + self.chances[index] < 1 / 2:
            below += self.chances[index]
            index += 1
        if index and abs(below - 1 / 2) < abs(below + self.chances[index] - 1 / 2):
            index -= 1
        return self.first + min(index, len(self.chances) - 2)

    def learn(self, step: int, margin: float | None, sd: float) -> None:
        """A trial at this step had this margin, with this standard deviation; None: it ran out of memory."""
        if margin is None:
            holds = _LEAST_WHEN_OUT_OF_MEMORY
        else:
            holds = min(max(erfc(margin / sd / sqrt(2)) / 2, _LEAST_DOUBT), 1 - _LEAST_DOUBT)
        tried = step - self.first
        self.chances = _normalised(
            [chance * (holds if index <= tried else 1 - holds) for index, chance in enumerate(self.chances)]
        )


def _normalised(weights: list[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]
