"""Steady: from when on a series has settled, by MSER-5, and whether the latency of a window was still growing.

MSER (White, 1997) leaves out as many values at the beginning as make the standard error of the mean of the rest
smallest; MSER-5 does so for the means of five values each. At most half is left out: a series that would need that was
still changing when it ended. A latency that still falls then makes a window look worse than it is, so only one that
grows is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadstone.domain.run_seconds import RunSeconds

__all__ = ["settled_after", "still_grows"]

_TOGETHER: Final = 5
_FEWEST: Final = 12
"""Of fewer means half is too little to tell a trend from noise."""
_GROWN: Final = 1.05
"""A second half that is slower than the first by less than this is noise."""


def settled_after(values: NDArray[np.float64]) -> int:
    """How many values, shape (n,), are to be left out at the beginning: a multiple of five, at most half of them."""
    means = values[: len(values) // _TOGETHER * _TOGETHER].reshape(-1, _TOGETHER).mean(axis=1)
    if len(means) < _FEWEST:
        return 0
    errors = [float(np.var(means[cut:])) / (len(means) - cut) for cut in range(len(means) // 2 + 1)]
    return int(np.argmin(errors)) * _TOGETHER


def still_grows(seconds: RunSeconds) -> bool:
    """Whether the mean duration of the requests of each second was growing, and had not settled by the middle."""
    timed = seconds.timed
    means = np.divide(seconds.rt_sum_us, timed, out=np.full(len(seconds), np.nan), where=timed > 0)
    known = means[np.isfinite(means)]
    middle = len(known) // _TOGETHER // 2 * _TOGETHER
    if not middle or settled_after(known) < middle:
        return False
    return float(np.mean(known[middle:])) > _GROWN * float(np.mean(known[:middle]))
