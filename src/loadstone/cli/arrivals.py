"""``--rate``: what the open model makes of the settings of a run."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.errors import UsageError
from loadstone.settings import RunSettings, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from loadstone.launch.scenario import Scenario

    T = TypeVar("T", bound=RunSettings)

__all__ = ["notes_of_arrivals", "with_arrivals"]

_USERS_FOR_S: Final = 2.0
"""Without ``--max-users`` there are as many users as arrive in this time."""
_FEWEST, _MOST = 10, 10_000
_SPAWNED_IN_S: Final = 5.0
_MOST_SPAWNED: Final = 500.0
"""Users started per second, who wait to be woken and so cost little at first."""


def with_arrivals(settings: T, busy_for_s: float = 0.0) -> T:
    """The settings with the users that the rate needs, and the time that it lasts; unchanged without a rate.

    ``busy_for_s``: how long iterations may take, if that is more than two seconds, before arrivals find no user.

    Raises `UsageError` and `SettingsError` for what does not go together.
    """
    usual = load(RunSettings, environ={})
    if not settings.rate:
        for name, value in (("--over", settings.over), ("--max-users", settings.max_users)):
            if value is not None:
                raise UsageError(f"{name} belongs to --rate", hint="Name a rate: --rate 500/s")
        return settings
    if settings.users != usual.users:
        raise UsageError(
            f"--users {settings.users} and --rate are two models: with a rate, users wait for arrivals",
            hint="Write --max-users for how many may be busy at once",
        )
    lines = _with_duration(settings)
    curve = RateCurve(parse_stages(lines))
    users = settings.max_users or min(max(ceil(max(_USERS_FOR_S, busy_for_s) * curve.peak), _FEWEST), _MOST)
    spawn_rate = settings.spawn_rate
    if spawn_rate == usual.spawn_rate:
        spawn_rate = min(max(spawn_rate, users / _SPAWNED_IN_S), _MOST_SPAWNED)
    run_time = settings.run_time
    if run_time is None and settings.steady_state is None and curve.ends_s < inf:
        run_time = curve.ends_s
    return replace(settings, rate=lines, over=None, users=users, spawn_rate=spawn_rate, run_time=run_time)


def _with_duration(settings: RunSettings) -> tuple[str, ...]:
    if settings.over is None:
        return settings.rate
    if len(settings.rate) > 1:
        raise UsageError("--over belongs to one --rate", hint="Give each of them its own: '100/s..1000/s over 5m'")
    return (f"{settings.rate[0]} over {f'{settings.over:f}'.rstrip('0').rstrip('.')}s",)


def notes_of_arrivals(scenario: Scenario) -> Iterator[str]:
    """What has no effect under a rate. Raises `UsageError` for a scenario that cannot run under one."""
    if scenario.shape:
        raise UsageError(
            f"the load shape {scenario.shape} decides how many users there are, and --rate how many arrive",
            hint="Leave --rate out, or run a scenario without a load shape",
        )
    if alone := [user.name for user in scenario.users if user.own_loop]:
        raise UsageError(
            f"users of {', '.join(alone)} run their tasks in a way of their own, so no arrival can begin them",
            hint="Leave --rate out, or name other user classes of the scenario",
        )
    if any(user.own_waits for user in scenario.users):
        yield "users wait for arrivals, so the wait times of the scenario have no effect"
