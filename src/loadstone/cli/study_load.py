"""The load of a study, from its options: users, or a rate of arrivals, and from where to where it is searched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from loadstone.capacity.load import Load, rate_text
from loadstone.cli.arrivals import with_arrivals
from loadstone.domain.arrival_rate import MOST_PER_S, parse_stage
from loadstone.domain.generator_doubts import tightest_ms
from loadstone.domain.objective import parse_objectives
from loadstone.domain.time import MS_PER_S
from loadstone.errors import UsageError
from loadstone.settings import CapacitySettings, parse

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoadRange", "asks_rate", "check_load", "load_range", "rate_line", "rate_to_hold", "with_rate"]

_LEAST_USERS, _MOST_USERS = 1, 100_000
_LEAST_RATE, _MOST_RATE, _FIRST_RATE = 1.0, 100_000.0, 50.0
_LOWEST_RATE: Final = 1 / 3600
_DECIMALS: Final = 6
_ROOM, _MOST_BUSY_S = 2.0, 10.0
"""Iterations may take so many times as long as the tightest objective allows before arrivals find no user. So that
objective is missed, which says something, before arrivals are not sent, which says nothing."""
_ONE_RATE: Final = f"one rate from 1/h to {MOST_PER_S:,.0f}/s, such as 50/s, 3000/m or 100/h"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRange:
    """What may be tried, and with what to begin: users or, if it ``is_rate``, arrivals per second."""

    least: float
    most: float
    first: float
    is_rate: bool

    @property
    def begins(self) -> Load:
        """The load of the first trial."""
        return Load(min(max(self.first, self.least), self.most), is_rate=self.is_rate)


def asks_rate(settings: CapacitySettings) -> bool:
    """Whether the trials of a study have a rate of arrivals, and not a number of users."""
    return settings.find == "rate" or (settings.find is None and bool(settings.rate))


def load_range(settings: CapacitySettings) -> LoadRange:
    """From where to where ``--find users`` or ``--find rate`` searches. Raises `UsageError`."""
    return _rates(settings) if asks_rate(settings) else _users(settings)


def rate_to_hold(settings: CapacitySettings) -> float | None:
    """The rate that limits are to hold, arrivals per second; None where it is users. Raises `UsageError`."""
    return _rate("--rate", settings.rate[0]) if settings.rate else None


def rate_line(per_s: float) -> str:
    """A rate as ``--rate`` takes it."""
    return f"{rate_text(per_s).replace(',', '')}/s"


def with_rate(settings: CapacitySettings, per_s: float) -> CapacitySettings:
    """The settings of a trial with so many arrivals per second, and with users enough for its objectives."""
    tightest_s = tightest_ms(parse_objectives(settings.objective)) / MS_PER_S
    busy_for_s = min(_ROOM * tightest_s, _MOST_BUSY_S)
    return with_arrivals(replace(settings, rate=(rate_line(per_s),)), busy_for_s=busy_for_s)


def check_load(settings: CapacitySettings) -> None:
    """Raise `UsageError` for options on the load of trials that contradict each other, or would have no effect."""
    for name, given in (("--run-time", settings.run_time), ("--steady-state", settings.steady_state)):
        if given is not None:
            raise UsageError(f"{name} cannot be used in a study", hint="--measure says how long a trial measures")
    if settings.over is not None or len(settings.rate) > 1:
        option = "--over" if settings.over is not None else "more than one --rate"
        raise UsageError(f"{option} cannot be used in a study: each of its trials has one rate", hint="Leave it out")
    if asks_rate(settings):
        if "users" in settings.given:
            raise UsageError(
                f"--users {settings.users} and {'--find rate' if settings.find else '--rate'} are two models: with a"
                " rate, users wait for arrivals",
                hint="Write --max-users for how many may be busy at once"
                + (", and --rate for the rate of the first trial" if settings.find else ""),
            )
    elif settings.rate:
        raise UsageError(
            "--find users and --rate are two models: with a rate, users wait for arrivals",
            hint="Write --find rate for the most arrivals a second, or leave --rate out",
        )
    elif settings.max_users is not None:
        raise UsageError("--max-users belongs to a rate", hint="Write --find rate, or leave it out")
    if settings.find is None:
        rate_to_hold(settings)
    else:
        load_range(settings)


def _users(settings: CapacitySettings) -> LoadRange:
    least = _LEAST_USERS if settings.at_least is None else _whole("--at-least", settings.at_least)
    most = _MOST_USERS if settings.at_most is None else _whole("--at-most", settings.at_most)
    found = LoadRange(least=least, most=most, first=settings.users, is_rate=False)
    _check_order(found, str, "--users" if "users" in settings.given else None)
    return found


def _rates(settings: CapacitySettings) -> LoadRange:
    """By default the range is wide enough for what is given of it."""
    first = _rate("--rate", settings.rate[0]) if settings.rate else _FIRST_RATE
    given_most = None if settings.at_most is None else _rate("--at-most", settings.at_most)
    if settings.at_least is None:
        least = min(_LEAST_RATE, first, given_most or inf)
    else:
        least = _rate("--at-least", settings.at_least)
    most = max(_MOST_RATE, first, least) if given_most is None else given_most
    found = LoadRange(least=least, most=most, first=first, is_rate=True)
    _check_order(found, rate_line, "--rate" if settings.rate else None)
    return found


def _check_order(found: LoadRange, text: Callable[[float], str], first: str | None) -> None:
    """``first``: the option that says with what to begin, if it was given."""
    if found.least > found.most:
        raise UsageError(
            f"--at-least {text(found.least)} is more than --at-most {text(found.most)}", hint="Turn them round"
        )
    if first is None or found.begins.amount == found.first:
        return
    than, bound = (
        ("more than --at-most", found.most) if found.first > found.most else ("less than --at-least", found.least)
    )
    raise UsageError(
        f"{first} {text(found.first)}, the first trial, is {than} {text(bound)}", hint="Begin with what may be tried"
    )


def _whole(option: str, text: str) -> int:
    try:
        return parse.whole_number(1)(text)
    except ValueError as error:
        raise UsageError(
            f"{option} is {text!r}, it must be {error}", hint="A rate such as 10/s goes with --find rate"
        ) from None


def _rate(option: str, text: str) -> float:
    """One rate that does not change, arrivals per second, rounded to what is shown of it."""
    try:
        stage = parse_stage(text)
    except UsageError:
        stage = None
    if stage is None or stage.first != stage.last or stage.over_s < inf or stage.first < _LOWEST_RATE:
        raise UsageError(
            f"{option} is {text!r}, it must be {_ONE_RATE}", hint="--at-least and --at-most say what may be tried"
        )
    return round(stage.first, _DECIMALS)
