"""How a run ended, and whether it had its users until then, from its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from loadstone.domain.ending import WORKERS_QUIT, Ending, Shortfall
from loadstone.domain.event import RampDone, Users
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from loadstone.archive.lifecycle import Lifecycle
    from loadstone.domain.event import Event
    from loadstone.domain.facts import Window

__all__ = ["UserReports", "ending_of"]


class _Report(NamedTuple):
    """From ``at_ns`` on so many users ran, where so many were wanted; nobody is missed while they are being started."""

    at_ns: int
    users: int
    wanted: int


@dataclass(slots=True)
class UserReports:
    """Gathers the reports of how many users run. Users are being started from a new target until its ramp is done."""

    reports: list[_Report] = field(default_factory=list)
    _target: int = 0
    _settled: int | None = None

    def take(self, event: Event) -> None:
        """Take in one event; those that do not tell of users change nothing."""
        if isinstance(event.payload, RampDone):
            self._settled = event.payload.users if event.payload.users is not None else self._target
        elif isinstance(event.payload, Users):
            self._take_users(event.payload, event.at_ns)

    def _take_users(self, report: Users, at_ns: int) -> None:
        if report.target_users != self._target:
            known = self._settled is not None and self._settled >= report.target_users
            self._settled = report.target_users if known or report.users >= report.target_users else None
            self._target = report.target_users
        wanted = 0 if self._settled is None else min(self._target, self._settled)
        self.reports.append(_Report(at_ns, report.users, wanted))

    def shortfall(self, window: Window, went_away: int) -> Shortfall:
        """For how long users were missing in the window, apart from ``went_away``, who ended by themselves."""
        reports = sorted(self.reports)
        ends_ns = [*(report.at_ns for report in reports[1:]), window.end_ns]
        missing_ns, worst = 0, _Report(0, 0, 0)
        for report, end_ns in zip(reports, ends_ns, strict=False):
            length_ns = min(end_ns, window.end_ns) - max(report.at_ns, window.start_ns)
            if length_ns > 0 and report.wanted - report.users > went_away:
                missing_ns += length_ns
                worst = max(worst, report, key=lambda each: each.wanted - each.users)
        return Shortfall(seconds=missing_ns / NS_PER_S, users=worst.users, wanted=worst.wanted)


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
