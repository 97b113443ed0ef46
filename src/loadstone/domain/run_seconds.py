"""RunSeconds: the whole seconds of a run's window as arrays, from which a bootstrap resamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.domain.request_name import RequestName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ALL", "RunSeconds"]

ALL: Final = RequestName("", "")
"""Stands for all requests together."""


@dataclass(frozen=True, slots=True)
class RunSeconds:
    """The seconds of one request name, or of `ALL`; seconds in which no request ended are included.

    ``n``, ``err`` and ``rt_sum_us`` have shape (seconds,). ``counts`` has shape (seconds, len(buckets)): how many
    requests fell into each of the histogram's ``buckets``, which ascend. Requests without a response time are in none.
    """

    n: NDArray[np.int64]
    err: NDArray[np.int64]
    rt_sum_us: NDArray[np.int64]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.n)

    @property
    def timed(self) -> NDArray[np.int64]:
        """How many requests have a response time, shape (seconds,)."""
        timed: NDArray[np.int64] = self.counts.sum(axis=1)
        return timed
