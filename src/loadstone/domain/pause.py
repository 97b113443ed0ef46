"""Pause: a part of the window in which the target answered nobody, or hardly anybody, while users waited for it.

In a closed model a user that waits sends nothing else, so a target that stops answering is asked less: the requests
that would have been slow are never sent. That nobody was answered is no sign by itself: users may be thinking, or be in
requests that take that long. A pause needs a request that waited through it for much longer than is usual for its
name. It is a doubt where users would have had several answers in that time, and where chance cannot be the reason: with
few users a slow request of one is a pause of all, so unless many wait at once, one has to wait for several times as
long as any other request of its name; the more wait at once, the fewer times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "LOW_SHARE",
    "MANY",
    "MANY_SHARE",
    "SHORTEST_PAUSE_S",
    "TIMES_LONGEST",
    "TIMES_USUAL",
    "Pause",
    "longest_s",
    "total_s",
]

SHORTEST_PAUSE_S: Final = 1.0
"""Shorter ones are not looked for."""
LOW_SHARE: Final = 0.1
"""Below this share of what was to be expected, hardly anybody was answered."""
TIMES_USUAL: Final = 3.0
"""A request waits unusually long when it waits for more than this many times the median of its name."""
MANY: Final = 8
"""So many requests do not wait at once by chance, if they are those of at least `MANY_SHARE` of the users."""
MANY_SHARE: Final = 0.5
TIMES_LONGEST: Final = 5.0
"""Where one waits, it has to wait for so many times as long as the longest other request of its name."""
_DOUBTFUL_S: Final = 3.0
_DOUBTFUL_ANSWERS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """One pause; times are wall clock, ns.

    ``waiting`` requests waited in it, ``answered`` were answered, where ``expected`` answers would have been as many as
    its users had at other times. For ``still_ns`` of it every worker stood still and could notice no answer.
    ``by_chance``: so few waited, and for so short a time, that requests which are slow now and then explain it.
    """

    start_ns: int
    end_ns: int
    waiting: int
    answered: int
    expected: float
    still_ns: int = 0
    by_chance: bool = False

    @property
    def seconds(self) -> float:
        """Its length, less the time in which the workers stood still."""
        return (self.end_ns - self.start_ns - self.still_ns) / NS_PER_S

    @property
    def is_doubtful(self) -> bool:
        """Whether neither the schedule of the users nor chance can be the reason for it."""
        enough = self.seconds >= _DOUBTFUL_S and self.expected >= _DOUBTFUL_ANSWERS
        return enough and not self.by_chance and self.answered < LOW_SHARE * self.expected


def longest_s(pauses: Sequence[Pause]) -> float:
    """The length of the longest one, 0 without any."""
    return max((pause.seconds for pause in pauses), default=0.0)


def total_s(pauses: Sequence[Pause]) -> float:
    """The length of all of them together; they do not overlap."""
    return sum(pause.seconds for pause in pauses)
