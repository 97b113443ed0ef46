"""Which of the quiet parts of a window were pauses: those through which users waited for the target."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from loadstone.domain.pause import SHORTEST_PAUSE_S, TIMES_USUAL, Pause
from loadstone.domain.time import NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from loadstone.archive.finalize.answers import Quiet
    from loadstone.archive.finalize.blocks import Block
    from loadstone.domain.cut import CutRequest
    from loadstone.domain.facts import Window
    from loadstone.domain.request_name import NameTable

__all__ = ["UserSeconds", "Waiting", "pauses_of"]

_SHORTEST_NS = round(SHORTEST_PAUSE_S * NS_PER_S)


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

    def _up_to(self, second: float) -> float:
        at = bisect_right(self._seconds, second) - 1
        return self._area[at] + self._users[at] * (second - self._seconds[at]) if at >= 0 else 0.0


class Waiting:
    """Gathers which requests waited through the quiet parts of a window, which do not overlap and ascend.

    For each part and request name: how many requests waited in it for at least as long as the shortest pause, and when
    the first of them was sent.
    """

    def __init__(self, quiet: Sequence[Quiet]) -> None:
        self.quiet = quiet
        self.found: list[dict[int, tuple[int, int]]] = [{} for _ in quiet]
        self._starts = np.array([each.start_ns for each in quiet], np.int64)
        self._ends = np.array([each.end_ns for each in quiet], np.int64)

    def take(self, block: Block) -> None:
        """Take in the samples of a block."""
        start_ns = block.end_ns - np.maximum(block.duration_us, 0) * NS_PER_US
        self._take(start_ns, block.end_ns, block.name_id)

    def take_cut(self, cut: Sequence[CutRequest], names: NameTable) -> None:
        """Take in requests that were cut off."""
        if cut:
            ids = np.array([names.id_of(each.method, each.name) for each in cut], np.int64)
            start_ns = np.array([each.start_ns for each in cut], np.int64)
            self._take(start_ns, np.array([each.cut_ns for each in cut], np.int64), ids)

    def _take(self, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64], names: NDArray[np.int64]) -> None:
        if not self.quiet:
            return
        first = np.searchsorted(self._ends, start_ns, "right")
        beyond = np.searchsorted(self._starts, end_ns, "left")
        for row in np.flatnonzero((beyond > first) & (end_ns - start_ns >= _SHORTEST_NS)).tolist():
            self._note(range(first[row], beyond[row]), int(start_ns[row]), int(end_ns[row]), int(names[row]))

    def _note(self, parts: range, start_ns: int, end_ns: int, name: int) -> None:
        for at in parts:
            quiet = self.quiet[at]
            if min(end_ns, quiet.end_ns) - max(start_ns, quiet.start_ns) >= _SHORTEST_NS:
                count, first_ns = self.found[at].get(name, (0, start_ns))
                self.found[at][name] = (count + 1, min(first_ns, start_ns))


def pauses_of(
    waiting: Waiting, usual_us: Mapping[int, float], window: Window, users: UserSeconds, answered: int, stuck: int
) -> list[Pause]:
    """The pauses among the quiet parts of a window in which ``answered`` requests ended.

    ``usual_us``: median duration by name id. ``stuck`` users waited for something unknown when the run ended, from the
    last answer on.
    """
    whole = users.between(window.start_ns, window.end_ns)
    pauses = []
    for quiet, found in zip(waiting.quiet, waiting.found, strict=True):
        waits = [
            (count, max(quiet.start_ns, first_ns))
            for name, (count, first_ns) in found.items()
            if _is_long(quiet.end_ns - max(quiet.start_ns, first_ns), usual_us.get(name, 0.0))
        ]
        if stuck and quiet.end_ns == window.end_ns:
            waits.append((stuck, quiet.start_ns))
        if waits:
            start_ns = min(first_ns for _, first_ns in waits)
            inside = users.between(start_ns, quiet.end_ns)
            expected = (answered - quiet.answered) * inside / (whole - inside) if whole > inside else 0.0
            pauses.append(
                Pause(
                    start_ns=start_ns,
                    end_ns=quiet.end_ns,
                    waiting=sum(count for count, _ in waits),
                    answered=quiet.answered,
                    expected=expected,
                )
            )
    return pauses


def _is_long(wait_ns: int, usual_us: float) -> bool:
    return wait_ns >= _SHORTEST_NS and wait_ns > TIMES_USUAL * usual_us * NS_PER_US
