"""FailureTable: how often each request name failed with each error text, and when first and last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from loadstone.archive.block import Block

__all__ = ["FAILURE_LIMIT", "Failure", "FailureTable"]

FAILURE_LIMIT: Final = 10_000
"""How many combinations of request name and error text are told apart."""
_OTHER_ERROR: Final = "further errors"


@dataclass(slots=True)
class Failure:
    """One error text of one request name; times are wall clock, ns."""

    count: int
    first_ns: int
    last_ns: int


class FailureTable:
    """``failures``: (method, name, error text) to `Failure`."""

    def __init__(self, limit: int = FAILURE_LIMIT) -> None:
        self.limit = limit
        self.failures: dict[tuple[str, str, str], Failure] = {}

    def count(self, block: Block) -> None:
        """Count the failed samples of a block."""
        at = np.flatnonzero(block.failed)
        if not len(at):
            return
        keys, group, counts = np.unique(
            block.pair[at] * len(block.errors) + block.error[at], return_inverse=True, return_counts=True
        )
        first = np.full(len(keys), np.iinfo(np.int64).max)
        last = np.zeros(len(keys), np.int64)
        np.minimum.at(first, group, block.end_ns[at])
        np.maximum.at(last, group, block.end_ns[at])
        rows = zip(keys.tolist(), counts.tolist(), first.tolist(), last.tolist(), strict=True)
        for key, *failure in rows:
            pair, error = divmod(key, len(block.errors))
            self._add(block.pairs[pair], block.errors[error], Failure(*failure))

    def _add(self, pair: tuple[str, str], error: str, new: Failure) -> None:
        key = (*pair, error)
        if key not in self.failures and len(self.failures) >= self.limit:
            key = ("", "", _OTHER_ERROR)
        known = self.failures.get(key)
        if known is None:
            self.failures[key] = new
        else:
            known.count += new.count
            known.first_ns = min(known.first_ns, new.first_ns)
            known.last_ns = max(known.last_ns, new.last_ns)
