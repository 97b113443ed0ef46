"""What one batch adds to the points of its run: rollups per second and name, errors, and its slowest requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.collector.point_lines import Slow
from loadstone.domain.batch import NO_ERROR
from loadstone.domain.rollup import roll_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loadstone.domain.batch import Batch
    from loadstone.domain.rollup import Rollup

__all__ = ["SLOWEST", "SLOW_SPAN_S", "Failed", "error_kind", "failures", "second_rollups", "slowest"]

SLOW_SPAN_S: Final = 10
SLOWEST: Final = 10
_NS: Final = 1_000_000_000
_ERROR_STATUS: Final = 400
_EXCEPTION: Final = re.compile(r"([A-Za-z_][\w.]{0,79})\(")


class Failed(NamedTuple):
    """Failed samples of one second, name and error text: how many, and the status of the first one."""

    second: int
    name: int
    error: str
    n: int
    status: int


def error_kind(text: str, status: int) -> str:
    """The kind of an error, of which there are few: ``http_503``, the name of the exception, or ``other``."""
    if status >= _ERROR_STATUS:
        return f"http_{status}"
    found = _EXCEPTION.match(text)
    return found[1] if found else "other"


def second_rollups(batch: Batch, ids: NDArray[np.int64]) -> dict[tuple[int, int], Rollup]:
    """The rollup of each (second, name id); ``ids`` are the run's ids of the batch's names, one per sample."""
    columns = batch.columns
    failed = columns.error != NO_ERROR
    return roll_up(columns.end_ns // _NS, ids, columns.duration_us, columns.bytes, failed)


def failures(batch: Batch, ids: NDArray[np.int64]) -> Iterator[Failed]:
    """The failed samples, gathered by second, name and error text."""
    rows = np.flatnonzero(batch.columns.error != NO_ERROR)
    if not len(rows):
        return
    columns = batch.columns
    key = np.stack((columns.end_ns[rows] // _NS, ids[rows], columns.error[rows]))
    groups, first, counts = np.unique(key, axis=1, return_index=True, return_counts=True)
    statuses = columns.status[rows[first]].tolist()
    for second, name, error, n, status in zip(*groups.tolist(), counts.tolist(), statuses, strict=True):
        yield Failed(second, name, batch.errors[error], n, status)


def slowest(batch: Batch, ids: NDArray[np.int64]) -> Iterator[tuple[int, Slow]]:
    """The ten slowest samples of each ten seconds, with the second in which these begin."""
    columns = batch.columns
    span = columns.end_ns // (SLOW_SPAN_S * _NS)
    for number in np.unique(span).tolist():
        rows = np.flatnonzero(span == number)
        if len(rows) > SLOWEST:
            rows = rows[np.argpartition(columns.duration_us[rows], -SLOWEST)[-SLOWEST:]]
        for row in rows.tolist():
            yield number * SLOW_SPAN_S, _slow(batch, row, int(ids[row]))


def _slow(batch: Batch, row: int, name: int) -> Slow:
    columns = batch.columns
    error = int(columns.error[row])
    text = None if error == NO_ERROR else batch.errors[error]
    end_ns, duration_us = int(columns.end_ns[row]), int(columns.duration_us[row])
    return Slow(duration_us, end_ns, batch.worker, name, int(columns.status[row]), text)
