"""Parts of a batch: what a worker recorded since it last sent anything may be more than one batch may hold.

That is so when its event loop stood still for minutes while requests went on, as with a client that blocks it or in
native threads, and afterwards everything is sent at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.domain.batch import COLUMNS, MOST_TEXTS, NO_ERROR, seconds_of
from loadstone.domain.limits import MOST_BATCH_BYTES, MOST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.domain.batch import Batch

__all__ = ["parts_of"]

_SURELY_FITS: Final = 2048
"""So many samples fit whatever their texts are: a name and an error text have 3 KiB, written as twice that in JSON."""
_BYTES_A_CHARACTER: Final = 6
"""At most, in JSON."""
_BYTES_A_SAMPLE: Final = sum(dtype.itemsize for dtype in COLUMNS.values())


def parts_of(batch: Batch, most_bytes: int = MOST_BATCH_BYTES // 2) -> Iterator[Batch]:
    """Batches that can be decoded and hold the samples of this one in their order: nearly always the batch itself.

    Lags and stalls of the event loop are in the first one; requests that were cut off, and ``final``, in the last one.
    ``seq``, ``produced`` and ``dropped`` stay for the sender to set.
    """
    if len(batch.columns) <= 1 or _fits(batch, most_bytes):
        yield batch
        return
    half = len(batch.columns) // 2
    yield from parts_of(replace(_rows(batch, 0, half), cut=(), final=False), most_bytes)
    yield from parts_of(replace(_rows(batch, half, len(batch.columns)), loop_lag_us=(), stalls=()), most_bytes)


def _fits(batch: Batch, most_bytes: int) -> bool:
    n = len(batch.columns)
    if max(n, len(batch.names), len(batch.errors)) > MOST_TEXTS or seconds_of(batch.columns) > MOST_SECONDS:
        return False
    if n <= _SURELY_FITS and most_bytes == MOST_BATCH_BYTES // 2:
        return True
    texts = sum(len(method) + len(name) for method, name in batch.names) + sum(map(len, batch.errors))
    return n * _BYTES_A_SAMPLE + texts * _BYTES_A_CHARACTER <= most_bytes


def _rows(batch: Batch, start: int, end: int) -> Batch:
    """Some samples of a batch, with the texts that they refer to."""
    columns = batch.columns.at(np.arange(start, end))
    named, name = np.unique(columns.name, return_inverse=True)
    failed = columns.error != NO_ERROR
    errors, error = np.unique(columns.error[failed], return_inverse=True)
    columns.error[failed] = error
    return replace(
        batch,
        columns=replace(columns, name=name.astype(np.int32)),
        names=tuple(batch.names[index] for index in named),
        errors=tuple(batch.errors[index] for index in errors),
    )
