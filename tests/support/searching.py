"""Conducting a search of `loadstone capacity` without a run: what it asks for is observed, or was told before."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from loadstone.capacity.study_record import TrialRecord
    from loadstone.capacity.trial import TrialPlan

__all__ = ["Silent", "asked_and_answered"]

Asked = TypeVar("Asked")
Seen = TypeVar("Seen")
Found = TypeVar("Found")


class Silent:
    """A teller that says nothing."""

    def begins(self, number: int, plan: TrialPlan) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""

    def ended(self, number: int, trial: TrialRecord) -> None:
        """See `loadstone.capacity.trials.StudyTeller`."""


def asked_and_answered(
    steps: Generator[Asked, Seen, Found],
    observe: Callable[[Asked], Seen],
    told: Sequence[Seen] | None = None,
    most: int = 600,
) -> tuple[Found, list[Asked]]:
    """The answer, and all that was asked; what was ``told`` before is told again, and not observed.

    It may ask ``most`` times.
    """
    asked: list[Asked] = []
    past = iter(told or [])
    try:
        ask = next(steps)
        while True:
            asked.append(ask)
            assert len(asked) <= most
            seen = next(past, None)
            ask = steps.send(observe(ask) if seen is None else seen)
    except StopIteration as end:
        return end.value, asked
