"""Ending: how long a run was meant to be, how long it was, what ended it, and whether it had its users until then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DELIBERATE", "WORKERS_QUIT", "Ending", "WrongUsers"]

WORKERS_QUIT: Final = "workers quit"
"""All workers took leave: because the scenario ended them, which they say, or because they were told to terminate."""
DELIBERATE: Final = frozenset({"run time", "steady state", "load shape", "web UI", "scenario", "interrupt"})
"""What ends a run because somebody, or the scenario, wants it to."""
_TOLERANCE: Final = 0.99
_LEEWAY_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongUsers:
    """For how long in the window fewer users ran than were wanted, or more, and how many at the worst moment."""

    seconds: float = 0.0
    users: int = 0
    wanted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """``asked_s`` (None: nothing was) and ``got_s`` are lengths of ``measure``: "run" or "window" (its steady state).

    ``ended_by`` is None where nobody said it.
    """

    measure: str = "run"
    asked_s: float | None = None
    got_s: float = 0.0
    ended_by: str | None = None

    @property
    def is_short(self) -> bool:
        """Whether it was shorter than asked for by more than a hundredth, and by more than ending takes."""
        return self.asked_s is not None and self.got_s < min(self.asked_s * _TOLERANCE, self.asked_s - _LEEWAY_S)

    @property
    def is_cut_short(self) -> bool:
        """Whether it was too short without anyone's wish."""
        return self.is_short and self.ended_by not in DELIBERATE

    @property
    def is_early(self) -> bool:
        """Whether somebody, or the scenario, ended it before its planned end."""
        return self.is_short and self.ended_by in DELIBERATE
