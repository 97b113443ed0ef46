"""Block: the samples of many batches in one set of columns, large enough for numpy and Parquet to be efficient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np

from loadstone.archive.run_state import name_ids
from loadstone.domain.batch import COLUMNS, NO_ERROR
from loadstone.domain.masking import mask_secrets
from loadstone.domain.request_name import RequestName
from loadstone.domain.rollup import Rollup, roll_up
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from loadstone.domain.batch import Batch
    from loadstone.domain.facts import Window
    from loadstone.domain.request_name import NameTable

    Sink = Callable[[int, dict[int, Rollup]], None]

__all__ = ["BLOCK_ROWS", "Block", "Seconds", "blocks"]

BLOCK_ROWS: Final = 128 * 1024
"""Samples per block, and so per row group of requests.parquet; the last batch is never split."""
_Key = TypeVar("_Key")


class Block(NamedTuple):
    """Samples of several batches; all arrays have shape (n,), in the order of the journal.

    ``pair``, ``error`` and ``incarnation`` index the block's own tables ``pairs`` (method and name, secrets masked),
    ``errors`` (masked) and ``incarnations``; ``name_id`` is the run-wide id of the name, see `NameTable`. The others
    are those of `loadstone.domain.batch.Columns`.
    """

    end_ns: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    ttfb_us: NDArray[np.int32]
    bytes: NDArray[np.int64]
    status: NDArray[np.int32]
    late_us: NDArray[np.int64]
    pair: NDArray[np.int64]
    error: NDArray[np.int64]
    incarnation: NDArray[np.int64]
    name_id: NDArray[np.int64]
    pairs: list[RequestName]
    errors: list[str]
    incarnations: list[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.end_ns)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each sample failed."""
        return np.not_equal(self.error, NO_ERROR)

    @property
    def second(self) -> NDArray[np.int64]:
        """The second since 1970 to which each sample belongs."""
        return self.end_ns // NS_PER_S


class _Filling:
    """A block to which batches are still added."""

    def __init__(self, names: NameTable) -> None:
        self.names = names
        self.batches: list[Batch] = []
        self.rows = 0
        self._pairs: dict[RequestName, int] = {}
        self._errors: dict[str, int] = {}
        self._incarnations: dict[tuple[str, int], int] = {}
        self._indexes: list[tuple[NDArray[np.int64], NDArray[np.int64], int]] = []

    def add(self, batch: Batch) -> None:
        """Add the samples of one batch."""
        pairs = _indexes(self._pairs, [RequestName.cleaned(*name) for name in batch.names])
        errors = _indexes(self._errors, [mask_secrets(text) for text in batch.errors])
        incarnation = self._incarnations.setdefault((batch.incarnation, batch.worker), len(self._incarnations))
        columns = batch.columns
        # One more element than there are texts: NO_ERROR is -1 and so picks the last.
        self._indexes.append((pairs[columns.name], np.append(errors, NO_ERROR)[columns.error], incarnation))
        self.batches.append(batch)
        self.rows += len(columns)

    def finish(self) -> Block:
        """The block of all samples added."""
        columns = {
            name: np.concatenate([getattr(batch.columns, name) for batch in self.batches])
            for name in COLUMNS
            if name not in {"name", "error"}
        }
        pairs, errors, incarnations = zip(*self._indexes, strict=True)
        pair = np.concatenate(pairs)
        lengths = [len(batch.columns) for batch in self.batches]
        return Block(
            **columns,
            pair=pair,
            error=np.concatenate(errors),
            incarnation=np.repeat(np.array(incarnations, np.int64), lengths),
            name_id=name_ids(self.names, list(self._pairs))[pair],
            pairs=list(self._pairs),
            errors=list(self._errors),
            incarnations=list(self._incarnations),
        )


def _indexes(table: dict[_Key, int], keys: list[_Key]) -> NDArray[np.int64]:
    return np.array([table.setdefault(key, len(table)) for key in keys], np.int64)


def blocks(batches: Iterable[Batch], names: NameTable, rows: int = BLOCK_ROWS) -> Iterator[tuple[Block, int]]:
    """Blocks of at least ``rows`` samples (the last one has fewer), each with how many batches were read so far."""
    filling = _Filling(names)
    read = 0
    for read, batch in enumerate(batches, start=1):
        if len(batch.columns):
            filling.add(batch)
        if filling.rows >= rows:
            yield filling.finish(), read
            filling = _Filling(names)
    if filling.rows:
        yield filling.finish(), read


class Seconds:
    """Rolls blocks up and hands each complete second to ``sinks``, in ascending order.

    ``totals``: name id to rollup of the whole run. ``window_totals``: the same of the samples that ended in the window,
    exactly, also where the window begins or ends in the middle of a second.
    """

    def __init__(self, window: Window, sinks: Iterable[Sink]) -> None:
        self.totals: dict[int, Rollup] = {}
        self.window_totals: dict[int, Rollup] = {}
        self._window = window
        self._sinks = tuple(sinks)
        self._open: dict[int, dict[int, Rollup]] = {}
        self._edges = {window.start_ns // NS_PER_S, window.end_ns // NS_PER_S}

    def take(self, block: Block) -> None:
        """Roll up the samples of a block."""
        for (second, name), rollup in roll_up(
            block.second, block.name_id, block.duration_us, block.bytes, block.failed, block.late_us
        ).items():
            names = self._open.setdefault(second, {})
            if name in names:
                names[name].merge(rollup)
            else:
                names[name] = rollup
        self._take_edges(block)

    def complete(self, before_second: int) -> None:
        """Hand out every second before this one; no later block may hold samples of them."""
        for second in sorted(second for second in self._open if second < before_second):
            rollups = self._open.pop(second)
            inside = second not in self._edges and second * NS_PER_S in self._window
            for name, rollup in rollups.items():
                self.totals.setdefault(name, Rollup()).merge(rollup)
                if inside:
                    self.window_totals.setdefault(name, Rollup()).merge(rollup)
            for sink in self._sinks:
                sink(second, rollups)

    def _take_edges(self, block: Block) -> None:
        """The seconds in which the window begins and ends are cut to the nanosecond."""
        inside = (block.end_ns >= self._window.start_ns) & (block.end_ns < self._window.end_ns)
        at = np.flatnonzero(inside & np.isin(block.second, list(self._edges)))
        cut = (block.duration_us[at], block.bytes[at], block.failed[at], block.late_us[at])
        for (_, name), rollup in roll_up(np.zeros(len(at), np.int64), block.name_id[at], *cut).items():
            self.window_totals.setdefault(name, Rollup()).merge(rollup)
