"""Cut request: a request that was in flight when its user was killed, so nobody knows how long it would have taken."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["MOST_CUT", "CutRequest"]

MOST_CUT: Final = 20_000
"""How many of them one batch describes; further ones are counted as aborted only."""


class CutRequest(NamedTuple):
    """Its method and name, when it was sent (wall clock, ns), and how old it was when it was cut off."""

    method: str
    name: str
    start_ns: int
    age_us: int

    @property
    def cut_ns(self) -> int:
        """When it was cut off, wall clock, ns."""
        return self.start_ns + self.age_us * 1000
