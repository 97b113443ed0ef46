"""Buckets: rollups of equal spans of time that are written when they are over, and again when late data changes them.

Memory is bounded by the number of buckets kept times names. Data for a bucket that is no longer kept is noted as
dirty; such buckets are computed anew from the journal when the run closes.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any

from loadstone.collector.deltas import SLOWEST
from loadstone.domain.rollup import Rollup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.collector.point_lines import Slow

__all__ = ["Bucket", "Buckets"]


class Bucket:
    """One span of time. ``has_news``: it changed since it was written.

    ``rollups``: by name id. ``errors``: by (name id, kind), ``(n, status, sample)``. ``slow``: its slowest requests.
    """

    __slots__ = ("errors", "has_news", "rollups", "slow")

    def __init__(self) -> None:
        self.rollups: dict[int, Rollup] = {}
        self.errors: dict[tuple[int, str], tuple[int, int, str]] = {}
        self.slow: list[Slow] = []
        self.has_news = True

    def add(self, name: int, rollup: Rollup) -> None:
        """Count a rollup in; the given one is not kept."""
        self.rollups.setdefault(name, Rollup()).merge(rollup)
        self.has_news = True

    def add_errors(self, name: int, kind: str, n: int, status: int, sample: str) -> None:
        """Count ``n`` errors of one kind in; status and sample of the first ones stay."""
        before = self.errors.get((name, kind), (0, status, sample))
        self.errors[name, kind] = (before[0] + n, before[1], before[2])
        self.has_news = True

    def add_slow(self, slow: Slow) -> None:
        """Keep a request if it is one of the ten slowest."""
        insort(self.slow, slow, key=_without_text)
        del self.slow[:-SLOWEST]
        self.has_news = True


def _without_text(slow: Slow) -> tuple[Any, ...]:
    """What slow requests are ordered by: all but the error, which may be None and says nothing about an order."""
    return slow[:-1]


class Buckets:
    """The newest buckets of ``width_s`` seconds, by the second in which each begins.

    ``keep`` is how many are kept. With ``only`` all of these are kept and data for any other one is passed over.
    """

    def __init__(self, width_s: int, *, keep: int, only: frozenset[int] | None = None) -> None:
        self.width_s = width_s
        self.dirty: set[int] = set()
        self._keep = keep
        self._only = only
        self._kept: dict[int, Bucket] = {}
        self._given_up: int | None = None
        self._filled_to: int | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def bucket(self, second: int) -> Bucket | None:
        """The bucket that a second belongs to; None when it is not kept (any more)."""
        start = second - second % self.width_s
        found = self._kept.get(start)
        if found is not None:
            return found
        if self._only is not None:
            return self._kept.setdefault(start, Bucket()) if start in self._only else None
        if self._given_up is not None and start <= self._given_up:
            self.dirty.add(start)
            return None
        return self._kept.setdefault(start, Bucket())

    def fill(self, to_second: int) -> None:
        """Make the empty buckets of quiet times up to a second, at most as many as are kept."""
        end = to_second - to_second % self.width_s
        if self._filled_to is None and self._kept:
            self._filled_to = min(self._kept)
        if self._only is None and self._filled_to is not None:
            for start in range(max(self._filled_to, end - self._keep * self.width_s), end, self.width_s):
                self.bucket(start)
            self._filled_to = max(end, self._filled_to)

    def take_due(self, horizon: int) -> Iterator[tuple[int, Bucket]]:
        """The buckets with news that end at or before a second, oldest first, and those that have to make room."""
        crowd = len(self._kept) - self._keep if self._only is None else 0
        for position, start in enumerate(sorted(self._kept)):
            bucket = self._kept[start]
            if position < crowd or start + self.width_s <= horizon:
                if bucket.has_news:
                    bucket.has_news = False
                    yield start, bucket
                if position < crowd:
                    del self._kept[start]
                    self._given_up = start
