"""Coordinated omission: requests that users of a closed model did not send, because they waited for a slow target.

Callers who do not know of each other keep coming while a target is slow; users of a closed model wait for it, so of its
slow answers only a few are among those that were measured. Here the window is cut into parts of equal length. A part in
which far fewer requests began than users otherwise send in that time, while one was in flight, lacks the difference.
Each lacking request is put where it would have been sent, and takes as long as the one that was sent before it still
took from there on, but not less than both of its neighbours.

Where some requests are slow by nature, users wait for them at any time, and now and then many at once. So parts in a
row count only if at least four users, and half of all, waited for unusually long in them, and if so many would hardly
ever do so by chance, each by itself, judging by how many did in the rest of the window.

That is what the users would have measured had they kept their pace. What a target would have made of more requests than
it got, nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.domain.histogram import Histogram, bucket_indexes
from loadstone.domain.rollup import MAX_DURATION_US, Rollup
from loadstone.domain.time import NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Omission", "Starts", "omission"]

_USUAL_STARTS: Final = 20
"""A part is so long that users usually send this many requests in it: with fewer, chance alone would leave it empty."""
_FEW: Final = 1 / 3
"""Of 20 requests, chance alone leaves less than a third in one of about 5,000 parts."""
_FEWEST_PARTS: Final = 10
_FEWEST_WAITING: Final = 4
_MANY_SHARE: Final = 0.5
"""A target does not get less than a third of the usual requests because a few of its users wait."""
_CHANCE: Final = 1e-3
"""How likely it may be that users of a target that never stalls wait together in any part of the window."""
_LEAST_SHARE: Final = 1e-6
_POINTS: Final = (np.arange(10) + 0.5) / 10
"""Where in its part the lacking requests of a slow part stand, which is often enough for how a stall ends."""
_HIGH: Final = 0.9
"""A target that is slow for less than 90 % of the time shows the pace of its users in the rest of it."""


class Starts(NamedTuple):
    """When requests of a window began, in ticks of equal length; arrays of shape (ticks,).

    ``n``: how many began in each. ``waiting``: how many were in flight at its end that took unusually long.
    ``first_ns`` and ``last_ns``: when the first and the last of them began, after the start of the window, and
    ``first_us`` and ``last_us``: how long these two took; without meaning where none began.
    """

    n: NDArray[np.int64]
    waiting: NDArray[np.int64]
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


class _Parts(NamedTuple):
    """The parts of a window, shape (parts,): requests sent, users times seconds, and users that waited, mean."""

    sent: NDArray[np.float64]
    user_seconds: NDArray[np.float64]
    waiting: NDArray[np.float64]


def omission(starts: Starts, user_seconds: NDArray[np.float64], tick_ns: int) -> Omission | None:
    """What users did not send; None where nothing lacks, or the window is too short to tell.

    ``user_seconds``: users times seconds in each tick, shape (ticks,); 0 where a tick is not to be judged.
    """
    judged, tick_s = user_seconds > 0, tick_ns / NS_PER_S
    sent = np.where(judged, starts.n, 0)
    if not sent.any():
        return None
    size = ceil(_USUAL_STARTS * np.count_nonzero(judged) / sent.sum())
    parts = _Parts(*(_sums(np.where(judged, each, 0), size) for each in (sent, user_seconds, starts.waiting / size)))
    some = parts.user_seconds > 0
    if np.count_nonzero(some) < _FEWEST_PARTS:
        return None
    most_sent, high = (float(np.quantile(each, _HIGH)) for each in (parts.sent[some], _pace(parts, some)))
    usual = some & ~_held_up(high * parts.user_seconds, parts, size * tick_s)
    if not usual.any():
        return None
    pace = float(parts.sent[usual].sum() / parts.user_seconds[usual].sum())
    # More users than a target can serve at once do not send more: that is no omission, but all that it can do.
    expected = np.minimum(pace * parts.user_seconds, most_sent)
    slow = np.flatnonzero(_with_neighbours(_held_up(expected, parts, size * tick_s)))
    at_ns = (slow[:, np.newaxis] + _POINTS) * (size * tick_ns)
    values_us, waited = _durations_us(at_ns, starts)
    waited &= np.append(judged, np.False_)[np.minimum((at_ns // tick_ns).astype(np.int64), len(judged))]
    lacking = np.maximum(expected[slow] - parts.sent[slow], 0.0) / np.maximum(np.count_nonzero(waited, axis=1), 1)
    weights = np.broadcast_to(lacking[:, np.newaxis], waited.shape)[waited]
    if weights.sum() < 1:
        return None
    return Omission(
        seconds=float(np.count_nonzero(waited) * size * tick_s / len(_POINTS)),
        rate=float(expected.sum() / (np.count_nonzero(judged) * tick_s)),
        rollup=_rollup(values_us[waited], weights),
    )


def _sums(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The sum of every ``size`` values."""
    padded = np.zeros(-(-len(values) // size) * size)
    padded[: len(values)] = values
    return np.asarray(padded.reshape(-1, size).sum(axis=1))


def _pace(parts: _Parts, some: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Requests per user and second."""
    return parts.sent[some] / parts.user_seconds[some]


def _held_up(expected: NDArray[np.float64], parts: _Parts, length_s: float) -> NDArray[np.bool_]:
    """Which parts are in a row of those with few of the expected requests, in which more wait than do by chance."""
    few = parts.sent < _FEW * expected
    outside = ~_with_neighbours(few)
    users = parts.user_seconds / length_s
    share = float(parts.waiting[outside].sum() / max(1.0, users[outside].sum()))
    least = log(len(few) / _CHANCE)
    edges = np.flatnonzero(np.diff(few, prepend=False, append=False)).reshape(-1, 2)
    for first, end in edges.tolist():
        waiting, most = float(parts.waiting[first:end].max()), float(users[first:end].max())
        many = waiting >= max(_FEWEST_WAITING, _MANY_SHARE * most)
        few[first:end] = many and _surprise(waiting, most, share) > least
    return few


def _surprise(waiting: float, users: float, share: float) -> float:
    """How unlikely it is that so many users wait, of whom each does for this share of the time, by itself.

    Chernoff's bound of the binomial distribution: with a probability of at most exp(-surprise).
    """
    usual = max(share, _LEAST_SHARE)
    found = min(waiting / max(users, waiting), 1.0)
    if found <= usual:
        return 0.0
    rest = (1 - found) * log((1 - found) / (1 - usual)) if found < 1 else 0.0
    return users * (found * log(found / usual) + rest)


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
