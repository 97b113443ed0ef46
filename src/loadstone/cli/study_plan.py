"""``loadstone capacity plan``: what a study would try, for how long, and at which prices; nothing is started."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from loadstone.capacity.forecast import forecast_setting, forecast_users
from loadstone.capacity.grid import Point, grid_of
from loadstone.capacity.search import FIRST_LOOK_S
from loadstone.capacity.study_record import UsersQuestion
from loadstone.capacity.users import MEASURE_S, MostUsers
from loadstone.cli.common import say
from loadstone.cli.study_question import question_of
from loadstone.cli.trials import overhead_s
from loadstone.errors import ExitCode, UsageError
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadstone.capacity.forecast import Forecast
    from loadstone.capacity.study_record import SettingQuestion
    from loadstone.settings import CapacitySettings

__all__ = ["print_plan", "refuse_hopeless_budget"]


def refuse_hopeless_budget(settings: CapacitySettings) -> None:
    """Raise `UsageError` when not even the easiest target could be decided in the trials or the time allowed."""
    if settings.budget is None and settings.trials is None:
        return
    least = _forecast(settings)
    if settings.trials is not None and settings.trials < least.trials[0]:
        raise UsageError(
            f"{settings.trials} trials cannot decide this: it takes {least.trials[0]} at least",
            hint="Allow more with --trials, or narrow what may be tried",
        )
    if settings.budget is not None and settings.budget < least.seconds[0]:
        raise UsageError(
            f"{_minutes(settings.budget)} cannot decide this: it takes {_minutes(least.seconds[0])} at least",
            hint="Give more time with --budget, shorten trials with --measure and --warmup, or narrow what is tried",
        )


def print_plan(settings: CapacitySettings) -> int:
    """Print what a study with these settings would try."""
    question = question_of(settings)
    forecast = _forecast(settings)
    if isinstance(question, UsersQuestion):
        say(
            f"to find: the most users, from {question.at_least:,} to {question.at_most:,}, with {_objectives(settings)}"
        )
        say(f"first trial: {question.first:,} users")
    else:
        _print_settings(question, _objectives(settings))
    low, usual, high = forecast.trials
    say(f"trials: {low} to {high}, usually {usual:g}, if none has to be repeated")
    low_s, usual_s, high_s = forecast.seconds
    say(f"time: {_minutes(low_s)} to {_minutes(high_s)}, usually {_minutes(usual_s)}")
    return ExitCode.PASS


def _print_settings(question: SettingQuestion, objectives: str) -> None:
    grid = grid_of(question)
    axes = (question.cpu_cores, question.mem_bytes, question.replicas)
    say(f"to find: the cheapest limits that hold {question.users:,} users with {objectives}")
    say(f"CPU of one replica: {_listed(f'{each:g}' for each in question.cpu_cores)}")
    say(f"memory of one replica: {_listed(map(memory_text, question.mem_bytes))}")
    say(f"replicas: {_listed(map(str, question.replicas))}")
    say(f"settings: {prod(map(len, axes)):,}, of which only some are tried")
    least, most = (f"{grid.cost(point):.4g} ({grid.setting(point)})" for point in (Point(0, 0, 0), grid.top))
    say(f"price for an hour: {least} to {most}")
    say(f"first trial: {grid.setting(grid.top)}, the largest: if it does not hold, nothing does")


def _forecast(settings: CapacitySettings) -> Forecast:
    question = question_of(settings)
    if isinstance(question, UsersQuestion):
        measure_s = settings.measure or MEASURE_S

        def search() -> MostUsers:
            return MostUsers(fewest=question.at_least, most=question.at_most, first=question.first, measure_s=measure_s)

        return forecast_users(search, overhead_s(settings, with_rig=False))
    return forecast_setting(grid_of(question), settings.measure or FIRST_LOOK_S, overhead_s(settings, with_rig=True))


def _objectives(settings: CapacitySettings) -> str:
    return " and ".join(settings.objective)


def _listed(values: Iterable[str]) -> str:
    found = list(values)
    few = 8
    return ", ".join(found) if len(found) <= few else f"{', '.join(found[:3])} ... {found[-1]} ({len(found)} steps)"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"  # noqa: PLR2004
