"""Window: the part of a run that objectives judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Window"]

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start_ns`` (ramp done, plus warm-up) up to but without ``end_ns`` (stop); wall clock, ns.

    ``opened`` is False when the ramp was never done: then it is the whole run, shown but not judged.
    """

    start_ns: int
    end_ns: int
    opened: bool = True

    @property
    def seconds(self) -> float:
        """Its length in seconds, never negative."""
        return max(0, self.end_ns - self.start_ns) / _NS_PER_S

    def __contains__(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns < self.end_ns
