"""Spans: the buckets of every resolution of one run, its names, kinds of errors and totals."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from loadstone.collector.buckets import Buckets
from loadstone.collector.deltas import SLOW_SPAN_S, error_kind, failures, second_rollups, slowest
from loadstone.collector.names import clean_name
from loadstone.domain.rollup import NameTable, Rollup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.domain.batch import Batch

__all__ = ["ALIGNED", "RESOLUTIONS", "Spans"]

RESOLUTIONS: Final = {"1s": 1, "10s": 10, "60s": 60}
ALIGNED: Final = "aligned"
_WIDTHS: Final = {**RESOLUTIONS, ALIGNED: 10}
_KEPT: Final = {"1s": 60, "10s": 12, "60s": 3, ALIGNED: 12}
"""Buckets kept, two minutes or so: late data within that time rewrites its seconds at once."""

_KIND_LIMIT: Final = 50
_OTHER_KIND: Final = "__other__"
_EARLY_LIMIT: Final = 1000
_SLICE: Final = 600
"""Buckets of a resolution that are computed anew in one pass over the journal: it bounds the memory of that."""


class Spans:
    """See the module's docstring. ``only`` limits it to these buckets, by resolution."""

    def __init__(self, *, only: dict[str, frozenset[int]] | None = None) -> None:
        self.names = NameTable()
        self.totals: dict[int, Rollup] = {}
        self.limited = only is not None
        self.start_second: int | None = None
        self.first_second = self.end_second = 0
        self._buckets = {
            key: Buckets(width, keep=_KEPT[key], only=only.get(key, frozenset()) if only is not None else None)
            for key, width in _WIDTHS.items()
        }
        self._kinds: set[str] = set()
        self._early: list[tuple[int, Rollup]] = []

    def __getitem__(self, key: str) -> Buckets:
        return self._buckets[key]

    def __len__(self) -> int:
        """Buckets kept now, of all resolutions."""
        return sum(map(len, self._buckets.values()))

    def begin(self, second: int) -> None:
        """The run started in this second: elapsed time counts from it. Only the first call counts."""
        if self.start_second is None:
            self.start_second = second
            for early_second, rollup in self._early:
                self._add_aligned(early_second, rollup)
            self._early.clear()

    def add(self, batch: Batch) -> None:
        """Count a batch in; it has at least one sample."""
        cleaned = list(map(clean_name, batch.names))
        ids = self.names.ids_of(cleaned)[batch.columns.name]
        for (second, name), rollup in second_rollups(batch, ids).items():
            self._add_rollup(second, name, rollup)
        for failed in failures(batch, ids):
            bucket = self._buckets["1s"].bucket(failed.second)
            if bucket is not None:
                kind = self._kind(error_kind(failed.error, failed.status))
                bucket.add_errors(failed.name, kind, failed.n, failed.status, failed.error)
        for second, slow in slowest(batch, ids):
            bucket = self._buckets[f"{SLOW_SPAN_S}s"].bucket(second)
            if bucket is not None:
                bucket.add_slow(slow)

    def fill(self, to_second: int) -> None:
        """Make the buckets of quiet seconds."""
        for key in RESOLUTIONS:
            self._buckets[key].fill(to_second)
        if self.start_second is not None:
            self._buckets[ALIGNED].fill(to_second - self.start_second)

    def slices_of_dirty(self) -> Iterator[Spans]:
        """Empty spans for what has to be computed anew, a bounded number of buckets each."""
        slices = [_slices(sorted(self._buckets[key].dirty)) for key in _WIDTHS]
        for parts in zip_longest(*slices, fillvalue=frozenset[int]()):
            spans = Spans(only=dict(zip(_WIDTHS, parts, strict=True)))
            spans.start_second = self.start_second
            yield spans

    def _add_rollup(self, second: int, name: int, rollup: Rollup) -> None:
        self.first_second = min(self.first_second or second, second)
        self.end_second = max(self.end_second, second + max(_WIDTHS.values()))
        self.totals.setdefault(name, Rollup()).merge(rollup)
        for key in RESOLUTIONS:
            bucket = self._buckets[key].bucket(second)
            if bucket is not None:
                bucket.add(name, rollup)
        if self.start_second is not None:
            self._add_aligned(second, rollup)
        elif len(self._early) < _EARLY_LIMIT:
            self._early.append((second, rollup))

    def _add_aligned(self, second: int, rollup: Rollup) -> None:
        bucket = self._buckets[ALIGNED].bucket(second - (self.start_second or 0))
        if bucket is not None:
            bucket.add(0, rollup)

    def _kind(self, kind: str) -> str:
        if kind not in self._kinds:
            if len(self._kinds) >= _KIND_LIMIT:
                return _OTHER_KIND
            self._kinds.add(kind)
        return kind


def _slices(starts: list[int]) -> list[frozenset[int]]:
    return [frozenset(starts[at : at + _SLICE]) for at in range(0, len(starts), _SLICE)]
