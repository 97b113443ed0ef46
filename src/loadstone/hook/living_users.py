"""Lets a worker report users that it is stopping until they have stopped.

A greenlet that is to be killed loses its arguments at once, by which Locust 2.47 counts users. Stopping thousands of
them takes a second or more, in which they go on: a report in that time says that no user is left, and the master, which
waits for that, ends the run without what comes after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locust.runners import STATE_CLEANUP

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import Runner

__all__ = ["install", "living_users"]


def install(environment: Environment, runner: Runner) -> None:
    """Mend every report of this worker; listeners of Locust's own come first."""

    def mend(data: dict[str, Any], **_: object) -> None:
        data["user_classes_count"] = living_users(runner, data["user_classes_count"])

    environment.events.report_to_master.add_listener(mend)


def living_users(runner: Runner, counted: dict[str, int]) -> dict[str, int]:
    """Users by class: those that Locust counted, or as long as any is being stopped, those that ran before."""
    is_stopping = runner.state == STATE_CLEANUP and runner.user_count > 0
    return dict(runner.final_user_classes_count) if is_stopping else counted
