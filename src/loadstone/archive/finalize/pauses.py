"""Which of the quiet parts of a window were pauses: those through which users waited for the target."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loadstone.domain.pause import MANY, MANY_SHARE, SHORTEST_PAUSE_S, TIMES_LONGEST, TIMES_USUAL, Pause
from loadstone.domain.time import NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from loadstone.archive.finalize.answers import Quiet
    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.cut import CutRequest
    from loadstone.domain.facts import Window
    from loadstone.domain.request_name import NameTable

__all__ = ["StuckUsers", "UserSeconds", "Waiting", "pauses_of"]

_SHORTEST_NS = round(SHORTEST_PAUSE_S * NS_PER_S)


class StuckUsers(NamedTuple):
    """So many users were cut off while they waited for something unknown; their worker reported it at ``at_ns``."""

    at_ns: int
    users: int


class UserSeconds:
    """How many users ran for how long, from the number that was reported in each second."""

    def __init__(self, users: Mapping[int, int]) -> None:
        self._seconds = sorted(users)
        self._users = [users[second] for second in self._seconds]
        areas = (n * (after - at) for n, (at, after) in zip(self._users, pairwise(self._seconds), strict=False))
        self._area = [0, *accumulate(areas)]

    def between(self, start_ns: int, end_ns: int) -> float:
        """Users times seconds; each number holds until the next one is reported. One user where nothing was."""
        if not self._seconds:
            return (end_ns - start_ns) / NS_PER_S
        return self._up_to(end_ns / NS_PER_S) - self._up_to(start_ns / NS_PER_S)

    def until(self, at_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Users times seconds up to each moment, shape (n,)."""
        seconds = at_ns / NS_PER_S
        if not self._seconds:
            return seconds
        at = np.searchsorted(self._seconds, seconds, "right") - 1
        area, users, since = (np.array(each)[at] for each in (self._area, self._users, self._seconds))
        return np.where(at >= 0, area + users * (seconds - since), 0.0)

    def _up_to(self, second: float) -> float:
        at = bisect_right(self._seconds, second) - 1
        return self._area[at] + self._users[at] * (second - self._seconds[at]) if at >= 0 else 0.0


class Waiting:
    """Gathers which requests waited through the quiet parts of a window, which do not overlap and ascend.

    For each part and request name: how many requests waited in it for at least as long as the shortest pause, and when
    the first of them was sent. For each name: its longest requests, one more than may wait without being many.
    """

    def __init__(self, quiet: Sequence[Quiet]) -> None:
        self.quiet = quiet
        self.found: list[dict[int, tuple[int, int]]] = [{} for _ in quiet]
        self._longest: dict[int, list[tuple[int, int]]] = {}
        self._starts = np.array([each.start_ns for each in quiet], np.int64)
        self._ends = np.array([each.end_ns for each in quiet], np.int64)

    def take(self, block: Block) -> None:
        """Take in the samples of a block."""
        if self.quiet:
            start_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
            self._take(start_ns, block.end_ns, block.name_id)
            self._take_longest(start_ns, block.end_ns, block.name_id)

    def take_cut(self, cut: Sequence[CutRequest], names: NameTable) -> None:
        """Take in requests that were cut off."""
        if cut and self.quiet:
            ids = np.array([names.id_of(each.method, each.name) for each in cut], np.int64)
            start_ns = np.array([each.start_ns for each in cut], np.int64)
            self._take(start_ns, np.array([each.cut_ns for each in cut], np.int64), ids)

    def longest_other_ns(self, quiet: Quiet, names: Iterable[int] | None = None) -> int:
        """How long the longest request of these names, or of any, took that did not wait through a quiet part."""
        lists = self._longest.values() if names is None else (self._longest.get(name, []) for name in names)
        others = (
            end_ns - start_ns for each in lists for start_ns, end_ns in each if not _waits(quiet, start_ns, end_ns)
        )
        return max(others, default=0)

    def _take(self, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64], names: NDArray[np.int64]) -> None:
        first = np.searchsorted(self._ends, start_ns, "right")
        beyond = np.searchsorted(self._starts, end_ns, "left")
        for row in np.flatnonzero((beyond > first) & (end_ns - start_ns >= _SHORTEST_NS)).tolist():
            self._note(range(first[row], beyond[row]), int(start_ns[row]), int(end_ns[row]), int(names[row]))

    def _note(self, parts: range, start_ns: int, end_ns: int, name: int) -> None:
        for at in parts:
            if _waits(self.quiet[at], start_ns, end_ns):
                count, first_ns = self.found[at].get(name, (0, start_ns))
                self.found[at][name] = (count + 1, min(first_ns, start_ns))

    def _take_longest(self, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64], names: NDArray[np.int64]) -> None:
        order = np.lexsort((start_ns - end_ns, names))  # by name, and the longest first
        ids, firsts = np.unique(names[order], return_index=True)
        for name, first, stop in zip(ids.tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(order)], strict=True):
            rows = order[first : min(stop, first + MANY)]
            found = [*self._longest.get(name, []), *zip(start_ns[rows].tolist(), end_ns[rows].tolist(), strict=True)]
            self._longest[name] = sorted(found, key=lambda each: each[0] - each[1])[:MANY]


class _Wait(NamedTuple):
    """So many requests of one name waited through a quiet part, the first from ``first_ns`` on; no name: unknown."""

    requests: int
    first_ns: int
    name: int | None


def pauses_of(
    waiting: Waiting,
    usual_us: Mapping[int, float],
    window: Window,
    users: UserSeconds,
    answered: int,
    stuck: Sequence[StuckUsers],
) -> list[Pause]:
    """The pauses among the quiet parts of a window in which ``answered`` requests ended.

    ``usual_us``: median duration by name id.
    """
    whole = users.between(window.start_ns, window.end_ns)
    pauses = []
    for quiet, found in zip(waiting.quiet, waiting.found, strict=True):
        waits = [
            _Wait(count, max(quiet.start_ns, first_ns), name)
            for name, (count, first_ns) in found.items()
            if _is_long(quiet.end_ns - max(quiet.start_ns, first_ns), usual_us.get(name, 0.0))
        ]
        if stuck_here := sum(each.users for each in stuck if _was_stuck_in(each, quiet, window)):
            waits.append(_Wait(stuck_here, quiet.start_ns, None))
        if waits:
            start_ns = min(wait.first_ns for wait in waits)
            inside = users.between(start_ns, quiet.end_ns)
            pauses.append(
                Pause(
                    start_ns=start_ns,
                    end_ns=quiet.end_ns,
                    waiting=sum(wait.requests for wait in waits),
                    answered=quiet.answered,
                    expected=(answered - quiet.answered) * inside / (whole - inside) if whole > inside else 0.0,
                    by_chance=_is_chance(waits, quiet, waiting, inside),
                )
            )
    return pauses


def _is_chance(waits: Sequence[_Wait], quiet: Quiet, waiting: Waiting, user_seconds: float) -> bool:
    """Whether neither many waited at once, nor any for several times as long as the longest other of its name.

    That several are slow at the same time is as unlikely as that one is, to the power of their number.
    """
    users = user_seconds * NS_PER_S / max(1, quiet.end_ns - min(wait.first_ns for wait in waits))
    count, times = sum(wait.requests for wait in waits), TIMES_LONGEST
    if count >= MANY_SHARE * users:
        if count >= MANY:
            return False
        times **= 1 / count
    return not any(
        quiet.end_ns - wait.first_ns
        >= times * waiting.longest_other_ns(quiet, None if wait.name is None else (wait.name,))
        for wait in waits
    )


def _waits(quiet: Quiet, start_ns: int, end_ns: int) -> bool:
    return min(end_ns, quiet.end_ns) - max(start_ns, quiet.start_ns) >= _SHORTEST_NS


def _was_stuck_in(stuck: StuckUsers, quiet: Quiet, window: Window) -> bool:
    """Whether these users waited in a quiet part. Workers report once a second; those of the end, after the window."""
    if stuck.at_ns >= window.end_ns:
        return quiet.end_ns == window.end_ns
    return quiet.start_ns <= stuck.at_ns < quiet.end_ns + NS_PER_S


def _is_long(wait_ns: int, usual_us: float) -> bool:
    return wait_ns >= _SHORTEST_NS and wait_ns > TIMES_USUAL * usual_us * NS_PER_US
