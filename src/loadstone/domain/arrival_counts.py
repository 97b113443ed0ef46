"""Arrival counts: how many iterations the schedule of an open model has asked for, and what became of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from loadstone.domain.limits import Count  # noqa: TC001  (msgspec reads annotations when it runs)

__all__ = ["NO_ARRIVALS", "ArrivalCounts"]


class ArrivalCounts(NamedTuple):
    """Arrivals whose intended start has passed.

    ``planned`` is all of them: those for which an iteration has begun (``sent``), on time or late, those that found no
    free user when they were due (``not_sent``), and those that were due but had not begun when users were stopped
    (``cut_off``).
    """

    planned: Count
    sent: Count
    not_sent: Count
    cut_off: Count = 0

    def plus(self, other: ArrivalCounts) -> ArrivalCounts:
        """Both together."""
        return ArrivalCounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def since(self, before: ArrivalCounts) -> ArrivalCounts:
        """What these running totals have grown by since ``before``; never negative."""
        return ArrivalCounts(*(max(0, now - then) for now, then in zip(self, before, strict=True)))


NO_ARRIVALS: Final = ArrivalCounts(0, 0, 0)
