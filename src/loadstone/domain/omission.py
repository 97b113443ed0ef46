"""Coordinated omission: requests that users of a closed model did not send, because they waited for a slow target.

Callers who do not know of each other keep coming while a target is slow; users of a closed model wait for it, so of its
slow answers only a few are among those that were measured. Here the window is cut into parts of equal length. A part in
which far fewer requests began than users otherwise send in that time, while one was in flight, lacks the difference.
Each lacking request is put where it would have been sent, and takes as long as the one that was sent before it still
took from there on, but not less than both of its neighbours.

With few users, or with some requests that are slow by nature, all users may wait at once by chance. So parts in a row
count only if at least four requests that began in them, or just before, took long, and these were half of the users,
or of the requests that began in them. Of fewer than four users nothing is said.

That is what the users would have measured had they kept their pace. It says too little rather than too much: what a
target would have made of more requests than it got, nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.domain.histogram import Histogram, bucket_indexes
from loadstone.domain.rollup import MAX_DURATION_US, Rollup
from loadstone.domain.time import NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LONG_TICKS", "Omission", "Starts", "omission"]

_USUAL_STARTS: Final = 20
"""A part is so long that users usually send this many requests in it: with fewer, chance alone would leave it empty."""
_FEW: Final = 1 / 3
"""Of 20 requests, chance alone leaves less than a third in one of about 5,000 parts."""
_FEWEST_PARTS: Final = 10
LONG_TICKS: Final = 2
"""A request that takes so many ticks keeps its user from sending in at least one of them."""
_WAITING: Final = 4
_SHARE: Final = 0.5
_POINTS: Final = (np.arange(20) + 0.5) / 20
"""Where in its part the lacking requests of a slow part stand, which is often enough for how a stall ends."""
_HIGH: Final = 0.9
"""A target that is slow for less than 90 % of the time shows the pace of its users in the rest of it."""


class Starts(NamedTuple):
    """When requests of a window began, in ticks of equal length; arrays of shape (ticks,).

    ``n``: how many began in each. ``first_ns`` and ``last_ns``: when the first and the last of them did, after the
    start of the window, and ``first_us`` and ``last_us``: how long these two took; without meaning where none began.
    ``long``: how many of them took at least `LONG_TICKS` ticks.
    """

    n: NDArray[np.int64]
    long: NDArray[np.int64]
    first_ns: NDArray[np.int64]
    first_us: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    last_us: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Omission:
    """What a closed run lacks: the requests in ``rollup``, in so many ``seconds`` of its window.

    ``rate``: how many requests a second its users send while nothing holds them up.
    """

    seconds: float
    rate: float
    rollup: Rollup


def omission(starts: Starts, user_seconds: NDArray[np.float64], tick_ns: int) -> Omission | None:
    """What users did not send; None where nothing lacks, or the window is too short to tell.

    ``user_seconds``: users times seconds in each tick, shape (ticks,); 0 where a tick is not to be judged.
    """
    judged, tick_s = user_seconds > 0, tick_ns / NS_PER_S
    count = np.where(judged, starts.n, 0)
    if not count.any():
        return None
    size = ceil(_USUAL_STARTS * np.count_nonzero(judged) / count.sum())
    sent, users = _parts(count, size), _parts(user_seconds, size)
    if np.count_nonzero(users) < _FEWEST_PARTS:
        return None
    long, most = _parts(starts.long, size), users / (size * tick_s)
    some = users > 0
    held_up = _held_up(float(np.quantile(sent[some] / users[some], _HIGH)) * users, sent, long, most)
    if held_up[some].all():
        return None
    pace = float(sent[~held_up].sum() / users[~held_up].sum())
    slow = np.flatnonzero(_with_neighbours(_held_up(pace * users, sent, long, most)))
    at_ns = (slow[:, np.newaxis] + _POINTS) * (size * tick_ns)
    values_us, waited = _durations_us(at_ns, starts)
    waited &= judged[np.minimum((at_ns // tick_ns).astype(np.int64), len(judged) - 1)]
    lacking = np.maximum(pace * users[slow] - sent[slow], 0.0) / np.maximum(np.count_nonzero(waited, axis=1), 1)
    weights = np.broadcast_to(lacking[:, np.newaxis], waited.shape)[waited]
    if weights.sum() < 1:
        return None
    return Omission(
        seconds=float(np.count_nonzero(waited) * size * tick_s / len(_POINTS)),
        rate=pace * float(users.sum() / (np.count_nonzero(judged) * tick_s)),
        rollup=_rollup(values_us[waited], weights),
    )


def _parts(values: NDArray[np.float64] | NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """The sum of every ``size`` values."""
    padded = np.zeros(-(-len(values) // size) * size)
    padded[: len(values)] = values
    return np.asarray(padded.reshape(-1, size).sum(axis=1))


def _held_up(
    expected: NDArray[np.float64], sent: NDArray[np.float64], long: NDArray[np.float64], users: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which parts are in a row of those with few of the expected requests, in which more wait than do by chance."""
    few = sent < _FEW * expected
    edges = np.flatnonzero(np.diff(few, prepend=False, append=False)).reshape(-1, 2)
    for first, end in edges.tolist():
        waiting, most = long[max(0, first - 1) : end].sum(), users[first:end].max()
        enough = max(_WAITING, _SHARE * min(most, sent[first:end].sum()))
        few[first:end] = most >= _WAITING and waiting >= enough
    return few


def _with_neighbours(held_up: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A stall begins in the part before the first one with few requests, and ends in the part after the last one."""
    around = held_up.copy()
    around[:-1] |= held_up[1:]
    around[1:] |= held_up[:-1]
    return around


def _durations_us(at_ns: NDArray[np.float64], starts: Starts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How long a request takes that is sent at each of these moments, and whether the one before it is in flight."""
    some = np.flatnonzero(starts.n)
    sent_ns = np.column_stack((starts.first_ns[some], starts.last_ns[some])).ravel()
    took_us = np.column_stack((starts.first_us[some], starts.last_us[some])).ravel()
    after = np.searchsorted(sent_ns, at_ns, "right")
    before = after - 1
    left_us = took_us[before] - ((at_ns - sent_ns[before]) // NS_PER_US).astype(np.int64)
    waited = (before >= 0) & (left_us > 0)
    return np.maximum(left_us, np.minimum(took_us[before], np.append(took_us, 0)[after])), waited


def _rollup(values_us: NDArray[np.int64], weights: NDArray[np.float64]) -> Rollup:
    """As if each value had been measured as often as it weighs; the sum of all up to any value is rounded."""
    values_us = np.minimum(values_us, MAX_DURATION_US)
    up_to = np.rint(np.bincount(bucket_indexes(values_us), weights).cumsum())
    counts = np.diff(up_to, prepend=0).astype(np.int64)
    histogram = Histogram((at, count) for at, count in enumerate(counts.tolist()) if count)
    total_us = round(float(np.dot(values_us, weights)))
    return Rollup(len(histogram), 0, total_us, int(values_us.min()), int(values_us.max()), 0, histogram)
