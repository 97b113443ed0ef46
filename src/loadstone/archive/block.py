"""Block: the samples of many batches in one set of columns, large enough for numpy and Parquet to be worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np

from loadstone.archive.live_rollups import name_ids
from loadstone.domain.batch import COLUMNS, NO_ERROR
from loadstone.domain.mask import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from loadstone.domain.batch import Batch
    from loadstone.domain.rollup import NameTable

__all__ = ["BLOCK_ROWS", "Block", "blocks"]

BLOCK_ROWS: Final = 128 * 1024
"""Samples per block, and so per row group of requests.parquet; the last batch is never split."""
_NS: Final = 1_000_000_000
_Key = TypeVar("_Key")


class Block(NamedTuple):
    """Samples of several batches; all arrays have shape (n,), in the order of the journal.

    ``pair``, ``error`` and ``boot`` index the block's own tables ``pairs`` (method and name, secrets masked),
    ``errors`` (masked) and ``boots``; ``name_id`` is the run-wide id of the name, see `NameTable`.
    """

    end_ns: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    ttfb_us: NDArray[np.int32]
    bytes: NDArray[np.int64]
    status: NDArray[np.int32]
    pair: NDArray[np.int64]
    error: NDArray[np.int64]
    boot: NDArray[np.int64]
    name_id: NDArray[np.int64]
    pairs: list[tuple[str, str]]
    errors: list[str]
    boots: list[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.end_ns)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each sample failed."""
        return np.not_equal(self.error, NO_ERROR)

    @property
    def second(self) -> NDArray[np.int64]:
        """The second since 1970 to which each sample belongs."""
        return self.end_ns // _NS


class _Filling:
    """A block that still takes batches."""

    def __init__(self, names: NameTable) -> None:
        self.names = names
        self.batches: list[Batch] = []
        self.rows = 0
        self._pairs: dict[tuple[str, str], int] = {}
        self._errors: dict[str, int] = {}
        self._boots: dict[tuple[str, int], int] = {}
        self._indexes: list[tuple[NDArray[np.int64], NDArray[np.int64], int]] = []

    def add(self, batch: Batch) -> None:
        """Take the samples of one batch."""
        pairs = _indexes(self._pairs, [(method, mask_secrets(name)) for method, name in batch.names])
        errors = _indexes(self._errors, [mask_secrets(text) for text in batch.errors])
        boot = self._boots.setdefault((batch.boot, batch.worker), len(self._boots))
        columns = batch.columns
        # One more element than there are texts: NO_ERROR is -1 and so picks the last.
        self._indexes.append((pairs[columns.name], np.append(errors, NO_ERROR)[columns.error], boot))
        self.batches.append(batch)
        self.rows += len(columns)

    def finish(self) -> Block:
        """All samples taken."""
        columns = {
            name: np.concatenate([getattr(batch.columns, name) for batch in self.batches])
            for name in COLUMNS
            if name not in {"name", "error"}
        }
        pairs, errors, boots = zip(*self._indexes, strict=True)
        pair = np.concatenate(pairs)
        lengths = [len(batch.columns) for batch in self.batches]
        return Block(
            **columns,
            pair=pair,
            error=np.concatenate(errors),
            boot=np.repeat(np.array(boots, np.int64), lengths),
            name_id=name_ids(self.names, list(self._pairs))[pair],
            pairs=list(self._pairs),
            errors=list(self._errors),
            boots=list(self._boots),
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
