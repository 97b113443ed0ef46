"""Lifecycle: what the events of a run say about it, regardless of their order."""

from __future__ import annotations

from collections import Counter, deque
from functools import singledispatchmethod
from typing import Final, TypeVar

import msgspec

from loadstone.domain.event import (
    ArrivalsShared,
    Crashed,
    Event,
    EventKind,
    ExceptionRaised,
    Exited,
    Interrupted,
    NamesCapped,
    Orphaned,
    Payload,
    RampDone,
    Restarted,
    Roster,
    Started,
    Stopped,
    Stopping,
    TargetExited,
    Users,
    WorkerJoined,
    WorkerLost,
    WorkerQuit,
)
from loadstone.domain.facts import LocustCounts, Window
from loadstone.domain.limits import FURTHER_EXCEPTIONS
from loadstone.domain.masking import mask_secrets, mask_values
from loadstone.domain.stall import MISSED_NS, Span
from loadstone.domain.time import NS_PER_S

__all__ = ["EXCEPTION_LIMIT", "Lifecycle", "UserException", "masked"]

EXCEPTION_LIMIT: Final = 1000
"""How many different exceptions of user code are kept apart; further ones are counted together."""

_TENTH_NS: Final = NS_PER_S // 10
_GAP_LIMIT: Final = 1000
_FROM_MASTER: Final = frozenset(
    {
        EventKind.STARTED,
        EventKind.ROSTER,
        EventKind.USERS,
        EventKind.RAMP_DONE,
        EventKind.STAGE,
        EventKind.WORKER_JOINED,
        EventKind.WORKER_LOST,
        EventKind.STOPPING,
        EventKind.STOPPED,
        EventKind.ARRIVALS_SHARED,
    }
)


class Mean:
    """The mean of the values that are known; None without any."""

    __slots__ = ("_count", "_sum")

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float | None) -> None:
        """Take in a value."""
        if value is not None:
            self._sum += value
            self._count += 1

    @property
    def value(self) -> float | None:
        """The mean so far."""
        return self._sum / self._count if self._count else None


class UserException:
    """How often one exception was raised by user code, and on which workers."""

    __slots__ = ("count", "nodes")

    def __init__(self) -> None:
        self.count = 0
        self.nodes: dict[str, None] = {}


class Lifecycle:
    """The fold of a run's events. Times are wall clock, ns; None before they are known.

    ``identity``: the event `started`, secrets masked. ``roster``: workers that the master told to spawn users.
    ``lost_at_ns``: when the master reported a worker lost. ``exceptions``: by message and traceback. ``crashed``: the
    exit code of each process of the platform that ended by itself and was not started again. ``gaps``: when the master
    missed its ticks, the newest 1000. ``clock_offsets``: of the master's clock, ms. ``exit_observed``: how the command
    that started Locust's master saw it end. ``schedule_ns``: when the schedule of arrivals began, by the clock of the
    stream server; ``arrival_workers``: how many workers shared it, at most.
    """

    def __init__(self) -> None:
        self.identity = Started()
        self.started_ns: int | None = None
        self.ramp_done_ns: int | None = None
        self.stopping_ns: int | None = None
        self.stopped_ns: int | None = None
        self.ended_by: str | None = None
        self.master_ns = 0
        self.newest_ns = 0
        self.locust_totals: LocustCounts | None = None
        self.users = self.target_users = self.workers = self.users_peak = 0
        self._users_ns = 0
        self.clock_offsets = Mean()
        self.gaps: deque[Span] = deque(maxlen=_GAP_LIMIT)
        self.users_moved = True
        self.roster: set[int] = set()
        self.joined_ns: dict[int, int] = {}
        self.lost_at_ns: dict[int, int] = {}
        self.target_exited: TargetExited | None = None
        self.target_exited_ns: int | None = None
        self.interrupted = False
        self.orphaned: set[int] = set()
        self._quit: set[int] = set()
        self.crashed: dict[str, int | None] = {}
        self.restarted: dict[str, int] = {}
        self.names_capped = False
        self.exceptions: dict[tuple[str, str], UserException] = {}
        self._exits: dict[int | None, Exited] = {}
        self.exit_observed: Exited | None = None
        self._raised: Counter[int] = Counter()
        self.schedule_ns: int | None = None
        self.arrival_workers = 0

    def apply(self, event: Event) -> None:
        """Take in one event that was not seen before."""
        self.newest_ns = max(self.newest_ns, event.at_ns)
        if event.kind in _FROM_MASTER:
            self.master_ns = max(self.master_ns, event.at_ns)
        self._apply(event.payload, event.at_ns)

    @property
    def exits(self) -> tuple[Exited, ...]:
        """How the processes of Locust ended, the master first; what was observed of it counts, where codes differ."""
        exits, seen = dict(self._exits), self.exit_observed
        if seen is not None and (seen.worker not in exits or exits[seen.worker].code != seen.code):
            exits[seen.worker] = seen
        return tuple(exits[worker] for worker in sorted(exits, key=lambda worker: -1 if worker is None else worker))

    @property
    def is_ended_by_scenario(self) -> bool:
        """Whether the scenario ended the run on every worker that was not lost."""
        return bool(self._quit) and self._quit >= self.roster - self.lost_at_ns.keys()

    @property
    def exit_known(self) -> bool:
        """Whether the exit code of Locust's master has come, or none will."""
        if self.identity.exit_from == "command":
            return self.exit_observed is not None
        return self.identity.exit_from is None or None in self._exits

    @property
    def exit_is_missing(self) -> bool:
        """Whether Locust's master ended with the run, as far as it is known, and nobody has said with which code."""
        expected = self.stopped_ns is not None and self.identity.exit_from is not None
        return expected and self.exit_observed is None and None not in self._exits

    @property
    def lost_under_load(self) -> set[int]:
        """Workers that were reported lost before users began to stop."""
        end_ns = self.stopping_ns or self.stopped_ns
        return {worker for worker, at_ns in self.lost_at_ns.items() if end_ns is None or at_ns < end_ns}

    @property
    def warmup_ns(self) -> int:
        """How long after the ramp the window opens."""
        return int(self.identity.warmup_s * NS_PER_S)

    def window(self, first_ns: int, last_ns: int) -> Window:
        """The window, given when the run's first sample started and its last one ended."""
        end_ns = self.stopping_ns or self.stopped_ns or last_ns + 1
        if self.ramp_done_ns is None or self.ramp_done_ns > end_ns:
            return Window(self.started_ns or first_ns, max(end_ns, last_ns + 1), opened=False)
        return Window(self.ramp_done_ns + self.warmup_ns, end_ns)

    def exceptions_in(self, window: Window) -> int:
        """How many exceptions user code raised in a window, to a tenth of a second."""
        return sum(count for tenth, count in self._raised.items() if tenth * _TENTH_NS in window)

    @property
    def all_exceptions(self) -> int:
        """How many exceptions user code raised in the run."""
        return sum(self._raised.values())

    @singledispatchmethod
    def _apply(self, _payload: Payload, _at_ns: int) -> None:
        """Kinds without a method of their own change nothing but the times above."""

    @_apply.register
    def _started(self, started: Started, at_ns: int) -> None:
        self.identity = masked(started)
        self.started_ns = at_ns

    @_apply.register
    def _roster(self, roster: Roster, _at_ns: int) -> None:
        self.roster.update(roster.workers)

    @_apply.register
    def _users(self, users: Users, at_ns: int) -> None:
        if at_ns < self._users_ns:
            return
        if self._users_ns and at_ns - self._users_ns >= MISSED_NS:
            self.gaps.append(Span(self._users_ns, at_ns))
        self._users_ns = at_ns
        self.users, self.target_users, self.workers = users.users, users.target_users, users.workers
        self.users_peak = max(self.users_peak, self.users)
        self.clock_offsets.add(users.clock_offset_ms)
        if self.stopping_ns is None and self.users >= self.target_users:
            self.users_moved = True

    @_apply.register
    def _ramp_done(self, _ramp_done: RampDone, at_ns: int) -> None:
        self.ramp_done_ns = min(self.ramp_done_ns or at_ns, at_ns)

    @_apply.register
    def _worker_joined(self, joined: WorkerJoined, at_ns: int) -> None:
        self.roster.add(joined.worker)
        self.joined_ns.setdefault(joined.worker, at_ns)
        self.lost_at_ns.pop(joined.worker, None)

    @_apply.register
    def _worker_lost(self, lost: WorkerLost, at_ns: int) -> None:
        self.lost_at_ns[lost.worker] = at_ns
        self.users_moved = False

    @_apply.register
    def _arrivals_shared(self, shared: ArrivalsShared, _at_ns: int) -> None:
        self.schedule_ns = shared.zero_ns
        self.arrival_workers = max(self.arrival_workers, len(shared.workers))

    @_apply.register
    def _stopping(self, stopping: Stopping, at_ns: int) -> None:
        self.ended_by = self.ended_by or stopping.ended_by
        self.stopping_ns = min(self.stopping_ns or at_ns, at_ns)

    @_apply.register
    def _stopped(self, stopped: Stopped, at_ns: int) -> None:
        self.stopped_ns = at_ns
        self.locust_totals = LocustCounts(
            requests=stopped.requests, failures=stopped.failures, exceptions=stopped.exceptions, reset=stopped.reset
        )

    @_apply.register
    def _exception(self, raised: ExceptionRaised, at_ns: int) -> None:
        key = (mask_secrets(raised.message), mask_secrets(raised.traceback))
        if key not in self.exceptions and len(self.exceptions) >= EXCEPTION_LIMIT:
            key = FURTHER_EXCEPTIONS
        found = self.exceptions.setdefault(key, UserException())
        found.count += raised.count
        for age, count in raised.ages or ((0, raised.count),):
            self._raised[at_ns // _TENTH_NS - age] += count
        node = raised.node if raised.node is not None else raised.worker
        found.nodes["" if node is None else str(node)] = None

    @_apply.register
    def _orphaned(self, orphaned: Orphaned, _at_ns: int) -> None:
        self.orphaned.add(orphaned.worker)

    @_apply.register
    def _worker_quit(self, left: WorkerQuit, _at_ns: int) -> None:
        self._quit.add(left.worker)

    @_apply.register
    def _target_exited(self, exited: TargetExited, at_ns: int) -> None:
        self.target_exited = exited
        self.target_exited_ns = at_ns

    @_apply.register
    def _interrupted(self, _interrupted: Interrupted, _at_ns: int) -> None:
        self.interrupted = True

    @_apply.register
    def _crashed(self, crashed: Crashed, _at_ns: int) -> None:
        self.crashed[crashed.part] = crashed.code

    @_apply.register
    def _restarted(self, restarted: Restarted, _at_ns: int) -> None:
        self.crashed.pop(restarted.part, None)
        self.restarted[restarted.part] = self.restarted.get(restarted.part, 0) + 1

    @_apply.register
    def _exited(self, exited: Exited, _at_ns: int) -> None:
        if exited.observed:
            self.exit_observed = exited
        else:
            self._exits[exited.worker] = exited

    @_apply.register
    def _names_capped(self, _capped: NamesCapped, _at_ns: int) -> None:
        self.names_capped = True


P = TypeVar("P", bound=Payload)


def masked(payload: P) -> P:
    """The payload with the secrets in its texts masked."""
    return msgspec.convert(mask_values(msgspec.to_builtins(payload)), type(payload))
