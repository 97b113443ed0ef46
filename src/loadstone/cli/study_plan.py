"""``loadstone capacity plan``: what a study would try, for how long, and at which prices; nothing is started."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING, Final

from loadstone.capacity.find_most import search_for
from loadstone.capacity.forecast import duration_text, forecast_most, forecast_setting
from loadstone.capacity.grid import Point, grid_of
from loadstone.capacity.load import Load
from loadstone.capacity.most import MEASURE_S
from loadstone.capacity.search import FIRST_LOOK_S
from loadstone.capacity.study_record import SettingQuestion
from loadstone.capacity.trials import LONGEST_S, requests_to_tell
from loadstone.cli.common import say
from loadstone.cli.study_load import load_range
from loadstone.cli.study_question import objectives_of, question_of
from loadstone.cli.trials import calibration_takes_s, overhead_s
from loadstone.errors import ExitCode, UsageError
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadstone.capacity.forecast import Forecast
    from loadstone.settings import CapacitySettings

__all__ = ["forecast_of", "print_plan", "refuse_hopeless_budget"]

_ALL: Final = 100.0
"""Percent."""


def refuse_hopeless_budget(settings: CapacitySettings) -> None:
    """Raise `UsageError` when not even the easiest target could be decided in the trials or the time allowed."""
    if settings.budget is None and settings.trials is None:
        return
    least = forecast_of(settings)
    if settings.trials is not None and settings.trials < least.trials[0]:
        raise UsageError(
            f"{settings.trials} trial{'s' if settings.trials > 1 else ''} cannot decide this: it takes"
            f" {least.trials[0]} at least",
            hint="Allow more with --trials, or narrow what may be tried",
        )
    if settings.budget is not None and settings.budget < least.seconds[0]:
        raise UsageError(
            f"{duration_text(settings.budget)} cannot decide this: it takes {duration_text(least.seconds[0])} at least",
            hint="Give more time with --budget, shorten trials with --measure and --warmup, or narrow what is tried",
        )


def print_plan(settings: CapacitySettings) -> int:
    """Print what a study with these settings would try."""
    question = question_of(settings)
    forecast = forecast_of(settings)
    objectives = " and ".join(objectives_of(settings))
    if isinstance(question, SettingQuestion):
        _print_settings(question, objectives)
    else:
        found = load_range(settings)
        least, most = (Load(each, is_rate=found.is_rate).number for each in (found.least, found.most))
        what = "arrivals a second" if found.is_rate else "users"
        say(f"to find: the most {what}, from {least} to {most}, with {objectives}")
        say(f"first trial: {found.begins}")
    low, usual, high = forecast.trials
    say(f"trials: {_spread(f'{low}', f'{ceil(usual)}', f'{high}')}, if none has to be repeated")
    say(f"time: {_spread(*map(duration_text, forecast.seconds))}")
    if longer := _longer(objectives_of(settings)):
        say(longer)
    return ExitCode.PASS


def _print_settings(question: SettingQuestion, objectives: str) -> None:
    grid = grid_of(question)
    axes = (question.cpu_cores, question.mem_bytes, question.replicas)
    say(f"to find: the cheapest limits that hold {question.load} with {objectives}")
    say(f"CPU of one replica: {_listed(f'{each:g}' for each in question.cpu_cores)}")
    say(f"memory of one replica: {_listed(map(memory_text, question.mem_bytes))}")
    say(f"replicas: {_listed(map(str, question.replicas))}")
    say(f"settings: {prod(map(len, axes)):,}, of which only some are tried")
    least, most = (f"{grid.cost(point):.4g} ({grid.setting(point)})" for point in (Point(0, 0, 0), grid.top))
    say(f"price for an hour: {least} to {most}")
    say(f"first trial: {grid.setting(grid.top)}, the largest: if it does not hold, nothing does")


def forecast_of(settings: CapacitySettings) -> Forecast:
    """Of the trials, and of the measurement of the generator that comes before them in the stack."""
    question = question_of(settings)
    if not isinstance(question, SettingQuestion):
        search = partial(search_for, question, settings.measure or MEASURE_S)
        return forecast_most(search, overhead_s(settings, with_rig=False))
    found = forecast_setting(grid_of(question), settings.measure or FIRST_LOOK_S, overhead_s(settings, with_rig=True))
    before_s = calibration_takes_s(settings) if settings.stack else 0.0
    least_s, usual_s, most_s = (seconds + before_s for seconds in found.seconds)
    return replace(found, seconds=(least_s, usual_s, most_s))


def _longer(objectives: Sequence[str]) -> str:
    """Which trials last longer than the forecast has it; empty where none do."""
    needed, text = max((requests_to_tell(each), each) for each in objectives)
    if not needed:
        return ""
    return (
        f"near its limit {text} needs {needed:,.0f} requests to be decided: where they take longer, a trial lasts up to"
        f" {duration_text(LONGEST_S)}"
    )


def _spread(least: str, usual: str, most: str) -> str:
    """From the least to the most, and what is usual, where they differ."""
    return least if least == most else f"{least} to {most}, usually {usual}"


def _listed(values: Iterable[str]) -> str:
    found = list(values)
    few = 8
    return ", ".join(found) if len(found) <= few else f"{', '.join(found[:3])} ... {found[-1]} ({len(found)} steps)"
