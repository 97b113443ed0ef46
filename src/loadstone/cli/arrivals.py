"""``--rate`` and arrival shapes: what the open model makes of the settings of a run."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from loadstone.domain.arrival_rate import RateCurve, parse_stages, spawn_rate_for, users_for
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from loadstone.launch.scenario import Scenario
    from loadstone.settings import RunSettings

    T = TypeVar("T", bound=RunSettings)

__all__ = ["check_arrivals", "notes_of_arrivals", "with_arrivals"]


def check_arrivals(settings: RunSettings) -> None:
    """Raise `UsageError` or `SettingsError` for what does not go together, whatever the scenario is."""
    if settings.rate:
        with_arrivals(settings)
    elif settings.over is not None:
        raise _needs_rate("--over")


def with_arrivals(settings: T, scenario: Scenario | None = None, busy_for_s: float = 0.0) -> T:
    """The settings with the users that the rate needs, and the time that it lasts; unchanged without a rate.

    The rate may be that of the scenario's arrival shape, which the master finds for itself. ``busy_for_s``: how long
    iterations may take, if that is more than two seconds, before arrivals find no user.

    Raises `UsageError` and `SettingsError` for what does not go together.
    """
    shape = scenario.arrival_shape if scenario else None
    if shape and settings.rate:
        raise UsageError(
            f"the arrival shape {shape} decides how many iterations arrive, and so does --rate",
            hint="Leave --rate out, or run a scenario without an arrival shape",
        )
    if settings.rate:
        settings = replace(settings, rate=_with_duration(settings), over=None)
    elif settings.over is not None:
        raise _needs_rate("--over")
    if not settings.rate and not shape:
        if settings.max_users is not None:
            raise _needs_rate("--max-users")
        return settings
    if "users" in settings.given:
        source = f"the arrival shape {shape}" if shape else "--rate"
        raise UsageError(
            f"--users {settings.users} and {source} are two models: with a rate, users wait for arrivals",
            hint="Write --max-users for how many may be busy at once",
        )
    stages = settings.rate or (scenario.arrival_stages if scenario else ())
    return _with_users(settings, RateCurve(parse_stages(stages)), busy_for_s) if stages else settings


def _needs_rate(option: str) -> UsageError:
    return UsageError(f"{option} belongs to --rate", hint="Name a rate: --rate 500/s")


def _with_users(settings: T, curve: RateCurve, busy_for_s: float) -> T:
    users = settings.max_users or users_for(curve, busy_for_s)
    spawn_rate = settings.spawn_rate if "spawn_rate" in settings.given else spawn_rate_for(users)
    length_s = settings.steady_after_ramp if settings.run_time is None else settings.run_time
    if curve.ends_s < inf and (length_s is None or (not settings.rate and curve.ends_s < length_s)):
        settings = replace(settings, run_time=curve.ends_s, steady_state=None)
    return replace(settings, users=users, spawn_rate=spawn_rate)


def _with_duration(settings: RunSettings) -> tuple[str, ...]:
    if settings.over is None:
        return settings.rate
    if len(settings.rate) > 1:
        raise UsageError("--over belongs to one --rate", hint="Give each of them its own: '100/s..1000/s over 5m'")
    return (f"{settings.rate[0]} over {f'{settings.over:f}'.rstrip('0').rstrip('.')}s",)


def notes_of_arrivals(scenario: Scenario) -> Iterator[str]:
    """What has no effect under a rate. Raises `UsageError` for a scenario that cannot run under one."""
    source = f"the arrival shape {scenario.arrival_shape}" if scenario.arrival_shape else "--rate"
    if scenario.shape:
        raise UsageError(
            f"the load shape {scenario.shape} decides how many users there are, and --rate how many arrive",
            hint="Leave --rate out, or run a scenario without a load shape",
        )
    if alone := [user.name for user in scenario.users if user.own_loop]:
        raise UsageError(
            f"users of {', '.join(alone)} run their tasks in a way of their own, so no arrival can begin them",
            hint=f"Leave {source} out, or name other user classes of the scenario",
        )
    if any(user.own_waits for user in scenario.users):
        yield "users wait for arrivals, so the wait times of the scenario have no effect"
