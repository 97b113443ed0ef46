"""Errors over time: how often each error text occurred in every bin, read only where a request failed."""

from __future__ import annotations

from collections import Counter
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from loadstone.charts.catalogue import OTHER_ERRORS
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.charts.binned import Bins
    from loadstone.charts.page_data import Series

__all__ = ["read_error_series"]

_MOST: Final = 8
"""Lines that can still be told apart; all further texts share one more."""
_LONGEST: Final = 60
"""Characters of a text in a legend; the table of errors has all of it."""


def read_error_series(run: ClosedRun, bins: Bins) -> Series:
    """Error text to occurrences per second in each bin, the most frequent text first. Raises `ArchiveError`."""
    texts = _most_frequent(run)
    counts = np.zeros((len(texts) + 1, bins.count), np.int64)
    rows = {text: row for row, text in enumerate(texts)}
    for table in run.failed(("end", "error")):
        _count(table, rows, bins, counts)
    labels = [*_labels(texts), OTHER_ERRORS]
    return {label: [*bins.rates(counts[row])] for row, label in enumerate(labels) if counts[row].any()}


def _most_frequent(run: ClosedRun) -> list[str]:
    totals: Counter[str] = Counter()
    for failure in run.failures():
        totals[failure.error] += failure.occurrences
    return [text for text, _ in sorted(totals.items(), key=lambda each: (-each[1], each[0]))[:_MOST]]


def _count(table: pa.Table, rows: dict[str, int], bins: Bins, counts: Any) -> None:
    errors: Any = table["error"].combine_chunks().dictionary_encode()
    words = errors.dictionary.to_pylist()
    other = len(rows)
    row_of = np.array([*(rows.get(word, other) for word in words), other], np.int64)
    codes = np.asarray(errors.indices.fill_null(len(words)), np.int64)  # null: failed without a text
    ends_s = np.asarray(table["end"].combine_chunks().cast(pa.int64())) // NS_PER_S
    at = (ends_s - bins.begin) // bins.step_s
    inside = (at >= 0) & (at < bins.count)
    np.add.at(counts, (row_of[codes[inside]], at[inside]), 1)


def _labels(texts: Iterable[str]) -> Sequence[str]:
    """Texts as short as a legend needs them; those that would look alike get a number: no line hides another."""
    labels: list[str] = []
    used = {OTHER_ERRORS}
    for text in texts:
        short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        numbered = (f"{short} ({number})" for number in count(2))
        label = next(each for each in chain([short], numbered) if each not in used)
        used.add(label)
        labels.append(label)
    return labels
