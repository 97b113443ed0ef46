"""Timeline: the newest values of something that changes, to be asked for by second."""

from __future__ import annotations

from bisect import bisect_right, insort
from operator import itemgetter
from typing import Final, Generic, TypeVar

__all__ = ["Timeline"]

T = TypeVar("T")
_KEPT: Final = 600
_AT = itemgetter(0)


class Timeline(Generic[T]):
    """Values with the time (ns) from which they hold; the newest 600 are kept."""

    def __init__(self) -> None:
        self._values: list[tuple[int, T]] = []

    def add(self, at_ns: int, value: T) -> None:
        """Note a value; times may come in any order."""
        insort(self._values, (at_ns, value), key=_AT)
        del self._values[:-_KEPT]

    def before(self, end_ns: int) -> T | None:
        """The value that held right before a moment; None when none is known."""
        at = bisect_right(self._values, end_ns - 1, key=_AT)
        return self._values[at - 1][1] if at else None
