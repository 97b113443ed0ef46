"""Who owns which arrivals: the master's rules by which a schedule is shared out among workers that come and go.

The master asks its workers a few times a second whether they are there, and lets all of them go on until `LEASE_S`
after the last answer of the one it has not heard from for the longest. Nothing that is due later may begin. So when a
worker does not answer any more, whether it is dead or only stands still, a new epoch can begin there, and none of its
arrivals has two owners: a worker that wakes up sends what was due before, late. A worker that joins gets its share in
the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from loadstone.domain.arrivals import Epoch

__all__ = ["ASK_EVERY_S", "LEASE_S", "Answer", "Grant", "Shares"]

ASK_EVERY_S: Final = 0.2
LEASE_S: Final = 1.2
_SILENT_AFTER_S: Final = 1.0
"""Less than the lease, so that the others hear of the new epoch before it begins."""
_LEAD_S: Final = 0.5
"""Between the decision to begin and the beginning: every worker must have heard of it."""


class Answer(NamedTuple):
    """What a worker says of itself: how many users it has, and how many of them wait for an arrival, or have waited."""

    users: int
    settled: int


class Grant(NamedTuple):
    """The epoch that holds now or soon, the ids of its workers in their order, and until when they may go on.

    Times are seconds of the schedule.
    """

    epoch: Epoch
    roster: tuple[str, ...]
    until_s: float


@dataclass(slots=True)
class _Worker:
    heard_s: float
    answer: Answer


@dataclass(slots=True)
class Shares:
    """The state of it. Times are seconds of any clock that only goes forward, unless they are the schedule's."""

    begun_s: float | None = None
    """When the schedule began, or will."""
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _grant: Grant | None = None

    def heard(self, worker: str, answer: Answer, now_s: float) -> None:
        """A worker has answered."""
        self._workers[worker] = _Worker(now_s, answer)

    def are_settled(self, workers: int, now_s: float) -> bool:
        """Whether so many workers answer, and all of their users have settled."""
        there = [each.answer for each in self._workers.values() if _is_present(each, now_s)]
        has_users = any(each.users for each in there)
        return len(there) >= workers and has_users and all(each.settled >= each.users for each in there)

    def begin(self, now_s: float) -> Grant | None:
        """The first epoch, which begins in a moment; None while no worker with users answers."""
        roster = self._present(now_s)
        if not roster:
            return None
        self.begun_s = now_s + _LEAD_S
        self._grant = Grant(Epoch(0, 0.0, len(roster)), roster, self._lease_s(roster))
        return self._grant

    def grant(self, now_s: float) -> Grant | None:
        """What holds now: with a new epoch if other workers are there; None before the first one."""
        if self._grant is None:
            return None
        epoch, roster, until_s = self._grant
        present = self._present(now_s)
        is_new = set(present) != set(roster)
        if is_new and present and self._elapsed_s(now_s) >= epoch.begins_s:
            kept = [each for each in roster if each in present]
            roster = (*kept, *(each for each in present if each not in kept))
            epoch = Epoch(epoch.number + 1, max(until_s, self._elapsed_s(now_s)), len(roster))
        if set(roster) <= set(present):
            until_s = max(until_s, self._lease_s(roster))
        self._grant = Grant(epoch, roster, until_s)
        return self._grant

    def _present(self, now_s: float) -> tuple[str, ...]:
        """The workers that have users and were heard of just now, in the order of their first answers."""
        return tuple(
            worker for worker, known in self._workers.items() if known.answer.users > 0 and _is_present(known, now_s)
        )

    def _lease_s(self, roster: tuple[str, ...]) -> float:
        return self._elapsed_s(min(self._workers[each].heard_s for each in roster)) + LEASE_S

    def _elapsed_s(self, now_s: float) -> float:
        return now_s - (self.begun_s or 0.0)


def _is_present(worker: _Worker, now_s: float) -> bool:
    return now_s - worker.heard_s <= _SILENT_AFTER_S
