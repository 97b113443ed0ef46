"""Sieve: which lines of a rejected request InfluxDB does not accept, found with few requests.

A request that holds k wrong ones among n lines costs about k * (log2(n) + 2) further requests at worst, and one or two
where the answer tells which lines it means: it says that it dropped all, it names them, or its reason and count fit
certain lines and the others are then accepted without them. Writing a line again changes nothing, so every line that is
not rejected was part of a request that was accepted as a whole: the counts are exact whatever the answers say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.influx.answer import WriteOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadstone.influx.answer import WriteAnswer

    Positions = Sequence[int]

__all__ = ["Sieve"]


class Sieve:
    """Sorts the lines of one delivery. ``send`` writes lines in one request, until InfluxDB has decided.

    ``rejected`` holds the reason of each rejected line by its position. ``limit`` is the number of lines to send next
    at most: the more wrong lines were searched for one by one, the smaller, so that dense ones cost about one each.
    """

    def __init__(self, lines: Sequence[str], send: Callable[[Sequence[str]], WriteAnswer]) -> None:
        self.rejected: dict[int, str] = {}
        self.limit = max(1, len(lines))
        self._lines = lines
        self._send = send
        self._searches = 0
        self._trusts_counts = True

    def send(self, part: Positions) -> WriteAnswer:
        """Write the lines at these positions."""
        return self._send([self._lines[at] for at in part])

    def note_stored(self) -> None:
        """A part was accepted: the next one may be larger."""
        self.limit = min(2 * self.limit, max(1, len(self._lines)))

    def sort_out(self, part: Positions, answer: WriteAnswer) -> Positions:
        """Reject wrong lines of a part that was rejected with this answer; the lines that are still undecided."""
        if self._rejects_all(part, answer):
            return ()
        texts = [self._lines[at] for at in part]
        if named := answer.said.named(texts):
            self._reject([part[at] for at in named], answer)
            return _without(part, named)
        likely = answer.said.likely(texts) if self._trusts_counts else []
        if likely:
            self._trusts_counts = self.send(_without(part, likely)).outcome is WriteOutcome.STORED
            if self._trusts_counts:
                self._reject([part[at] for at in likely], answer)
                return ()
        return self._search(part)

    def _search(self, part: Positions) -> Positions:
        """Find the first wrong line, or the first stretch of them, by halving; the lines behind it."""
        low, high = 0, len(part)
        while high - low > 1:
            middle = (low + high) // 2
            answer = self.send(part[low:middle])
            if answer.outcome is WriteOutcome.STORED:
                low = middle
            elif answer.outcome is not WriteOutcome.REJECTED:
                return part[low:]
            elif self._rejects_all(part[low:middle], answer):
                return self._behind(part[middle:])
            else:
                high = middle
        last = self.send(part[low:high])
        if last.outcome is not WriteOutcome.STORED:
            self._reject(part[low:high], last)
        return self._behind(part[high:])

    def _behind(self, part: Positions) -> Positions:
        self._searches += 1
        self.limit = max(1, len(part) // self._searches)
        return part

    def _rejects_all(self, part: Positions, answer: WriteAnswer) -> bool:
        if len(part) == 1 or answer.said.dropped >= len(part):
            self._reject(part, answer)
            return True
        return False

    def _reject(self, part: Positions, answer: WriteAnswer) -> None:
        self.rejected.update(dict.fromkeys(part, answer.reason))


def _without(part: Positions, at: Sequence[int]) -> Positions:
    left_out = set(at)
    return [position for number, position in enumerate(part) if number not in left_out]
