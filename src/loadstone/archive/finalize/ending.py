"""How a run ended, and whether it had its users until then, from its events."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.ending import WORKERS_QUIT, Ending, WrongUsers
from loadstone.domain.event import RampDone, Users, WorkerLost
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.lifecycle import Lifecycle
    from loadstone.domain.batch import Batch
    from loadstone.domain.event import Event
    from loadstone.domain.facts import Window

__all__ = ["UserReports", "ending_of"]

_REPORTED_WITHIN_NS: Final = 2 * NS_PER_S
"""Workers tell within this time that users ended by themselves, and the master that a worker was lost."""
_MOVED_WITHIN_NS: Final = 15 * NS_PER_S
"""The users of a lost worker run on others within this time; it is no loss of load if they do."""
_SURPLUS: Final = 1.01
"""Times as many users as are in order are too many."""


class _Report(NamedTuple):
    """From ``at_ns`` on so many users ran, where so many were ``wanted``, and ``most`` were in order.

    Nobody is missed while users are being started, and nobody is one too many while they are being stopped.
    """

    at_ns: int
    users: int
    wanted: int
    most: int


_NOBODY: Final = _Report(0, 0, 0, 0)


@dataclass(slots=True)
class UserReports:
    """Gathers the reports of how many users run. Users are being started from a new target until its ramp is done."""

    reports: list[_Report] = field(default_factory=list)
    went_away: list[tuple[int, int]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    _went_away: dict[str, int] = field(default_factory=dict)
    _target: int = 0
    _settled: int | None = None
    _stops_users: bool = False

    def take(self, event: Event) -> None:
        """Take in one event; those that do not tell of users change nothing."""
        if isinstance(event.payload, RampDone):
            self._settled = event.payload.users if event.payload.users is not None else self._target
        elif isinstance(event.payload, Users):
            self._take_users(event.payload, event.at_ns)
        elif isinstance(event.payload, WorkerLost):
            self.lost.append(event.at_ns)

    def take_batch(self, batch: Batch) -> None:
        """Take in how many users had ended by themselves when a worker sent a batch."""
        known = self._went_away.get(batch.incarnation, 0)
        if batch.went_away > known:
            self.went_away.append((batch.sent_ns, batch.went_away - known))
            self._went_away[batch.incarnation] = batch.went_away

    def _take_users(self, report: Users, at_ns: int) -> None:
        if report.target_users != self._target:
            known = self._settled is not None and self._settled >= report.target_users
            self._settled = report.target_users if known or report.users >= report.target_users else None
            self._stops_users = report.target_users < self._target
            self._target = report.target_users
        self._stops_users = self._stops_users and report.users > self._target
        wanted = 0 if self._settled is None else min(self._target, self._settled)
        most = report.users if self._stops_users else self._target
        self.reports.append(_Report(at_ns, report.users, wanted, most))

    def shortfall(self, window: Window) -> WrongUsers:
        """For how long users were missing in the window, apart from those who left by themselves or are being moved."""
        reports = sorted(self.reports)
        missing_ns, worst = 0, _NOBODY
        for report, end_ns, gone in zip(reports, _ends_ns(reports, window), self._gone(reports), strict=True):
            start_ns = max(report.at_ns, window.start_ns, self._moving_until(report.at_ns, reports))
            length_ns = min(end_ns, window.end_ns) - start_ns
            if length_ns > 0 and report.wanted - report.users > gone:
                missing_ns += length_ns
                worst = max(worst, report, key=lambda each: each.wanted - each.users)
        return WrongUsers(seconds=missing_ns / NS_PER_S, users=worst.users, wanted=worst.wanted)

    def surplus(self, window: Window) -> WrongUsers:
        """For how long there were users too many in the window, by more than a hundredth."""
        reports = sorted(self.reports)
        surplus_ns, worst = 0, _NOBODY
        for report, end_ns in zip(reports, _ends_ns(reports, window), strict=True):
            length_ns = min(end_ns, window.end_ns) - max(report.at_ns, window.start_ns)
            if length_ns > 0 and report.users > report.most * _SURPLUS:
                surplus_ns += length_ns
                worst = max(worst, report, key=lambda each: each.users - each.most)
        return WrongUsers(seconds=surplus_ns / NS_PER_S, users=worst.users, wanted=worst.most)

    def _gone(self, reports: list[_Report]) -> Iterator[int]:
        """For each report, how many users had ended by themselves and were not replaced since."""
        left, before, gone = deque(sorted(self.went_away)), _NOBODY, 0
        for report in reports:
            while left and left[0][0] <= report.at_ns + _REPORTED_WITHIN_NS:
                gone += left.popleft()[1]
            gone = 0 if report.wanted > before.wanted else max(0, gone - max(0, report.users - before.users))
            before = report
            yield gone

    def _moving_until(self, at_ns: int, reports: list[_Report]) -> int:
        """Until when the users of a worker that was lost shortly before are being moved to others; 0 if of none."""
        lost_ns = max((lost for lost in self.lost if lost - _REPORTED_WITHIN_NS <= at_ns), default=None)
        if lost_ns is None or at_ns >= lost_ns + _MOVED_WITHIN_NS:
            return 0
        after = (each for each in reports if lost_ns < each.at_ns <= at_ns)
        return 0 if any(each.users >= each.wanted for each in after) else lost_ns + _MOVED_WITHIN_NS


def _ends_ns(reports: list[_Report], window: Window) -> list[int]:
    """Until when each of them holds."""
    return [*(report.at_ns for report in reports[1:]), window.end_ns] if reports else []


def ending_of(lifecycle: Lifecycle, window: Window, ended_ns: int) -> Ending:
    """How long the run was meant to be: by its steady state, else by its run time."""
    identity, ended_by = lifecycle.identity, lifecycle.ended_by
    if ended_by == WORKERS_QUIT and lifecycle.is_ended_by_scenario:
        ended_by = "scenario"
    if identity.run_time_s is not None:
        end_ns = lifecycle.stopping_ns or ended_ns
        got_s = (end_ns - (lifecycle.started_ns or end_ns)) / NS_PER_S
        return Ending(asked_s=identity.run_time_s, got_s=got_s, ended_by=ended_by)
    if identity.steady_state_s is not None:
        got_s = window.seconds if window.opened else 0.0
        return Ending(measure="window", asked_s=identity.steady_state_s, got_s=got_s, ended_by=ended_by)
    return Ending(got_s=window.seconds, ended_by=ended_by)
