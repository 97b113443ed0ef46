"""The rate of arrivals over time: stages that people write, and the curve that they make.

    STAGE = RATE [".." RATE] ["over" DURATION]      RATE = NUMBER "/s" | NUMBER "/m" | NUMBER "/h"

``500/s`` holds a rate until the run ends, ``500/s over 5m`` for five minutes, and ``100/s..1000/s over 5m`` rises or
falls steadily. Only the last stage may go without a duration. After the last one its final rate holds.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf, isfinite, sqrt
from typing import TYPE_CHECKING, Final

from loadstone.errors import SettingsError, UsageError
from loadstone.settings import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MOST_PER_S", "RateCurve", "Stage", "parse_stage", "parse_stages", "spawn_rate_for", "users_for"]

MOST_PER_S: Final = 1_000_000.0
"""Arrivals per second; no test on few machines gets near it, and a slip of the keyboard does."""
_USERS_FOR_S: Final = 2.0
_FEWEST_USERS, _MOST_USERS = 10, 10_000
_SPAWNED_IN_S: Final = 5.0
_SLOWEST_SPAWN, _FASTEST_SPAWN = 10.0, 500.0
"""Users started per second, who wait to be woken and so cost little at first."""
_PER_S: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE: Final = r"(?P<{0}>[0-9]+(?:\.[0-9]+)?)\s*/\s*(?P<{0}_unit>s|min|m|h)"
_SHAPE: Final = re.compile(
    rf"\s*{_RATE.format('first')}\s*(?:\.\.\s*{_RATE.format('last')})?\s*(?:\bover\b\s*(?P<over>.+?))?\s*"
)
_EXAMPLE: Final = "For example 500/s, 30000/m, or 100/s..1000/s over 5m"


@dataclass(frozen=True, slots=True)
class Stage:
    """The rate goes steadily from ``first`` to ``last`` (arrivals per second) in ``over_s`` seconds; inf: for ever."""

    first: float
    last: float
    over_s: float = inf

    def __str__(self) -> str:
        rate = f"{self.first:g}/s" if self.first == self.last else f"{self.first:g}/s..{self.last:g}/s"
        return rate if self.over_s == inf else f"{rate} over {self.over_s:g}s"


def parse_stages(lines: Iterable[str]) -> tuple[Stage, ...]:
    """The stages in these lines, one each. Raises `SettingsError` with the problems of all of them."""
    stages, problems = [], []
    for line in lines:
        try:
            stages.append(parse_stage(line))
        except UsageError as error:
            problems.append(str(error))
    if not problems and (endless := next((each for each in stages[:-1] if each.over_s == inf), None)):
        problems.append(f"rate {endless} has no duration, so no stage can follow it. Write {endless} over 5m")
    if not problems and stages and not any(each.first or each.last for each in stages):
        problems.append(f"rate {stages[0]} lets nothing arrive. {_EXAMPLE}")
    if problems:
        raise SettingsError(problems)
    return tuple(stages)


def parse_stage(text: str) -> Stage:
    """The stage in one line. Raises `UsageError` that names the text, what is wrong, and what is allowed."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise UsageError(f"rate {text!r} is not NUMBER/s, /m or /h, or two of them with .. between", hint=_EXAMPLE)
    first = _per_s(shape, "first")
    last = first if shape["last"] is None else _per_s(shape, "last")
    if max(first, last) > MOST_PER_S:
        raise UsageError(f"rate {text!r} is more than {MOST_PER_S:,.0f}/s", hint=_EXAMPLE)
    if shape["over"] is None:
        if first != last:
            raise UsageError(f"rate {text!r} does not say in which time it changes", hint=f"Write {text} over 5m")
        return Stage(first, last)
    try:
        return Stage(first, last, parse.positive_duration_s(shape["over"]))
    except ValueError as error:
        raise UsageError(f"rate {text!r}: {shape['over']!r} is not {error}", hint=_EXAMPLE) from None


def _per_s(shape: re.Match[str], which: str) -> float:
    return float(shape[which]) / _PER_S[shape[f"{which}_unit"]]


class RateCurve:
    """A rate that is linear in pieces, and how many arrivals it comes to. Times are seconds since the first stage."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        """``stages``: at least one; after a last one that ends, its rate holds."""
        if stages[-1].over_s < inf:
            stages = (*stages, Stage(stages[-1].last, stages[-1].last))
        self.stages = tuple(stages)
        self._starts_s = [0.0, *accumulate(each.over_s for each in stages[:-1])]
        sizes = (each.over_s * (each.first + each.last) / 2 for each in stages[:-1])
        self._totals = [0.0, *accumulate(sizes)]
        """How many arrivals there are before each stage."""
        self._spans = [
            (starts_s, starts_s + stage.over_s, stage.first, _slope(stage))
            for starts_s, stage in zip(self._starts_s, self.stages, strict=True)
        ]

    @property
    def ends_s(self) -> float:
        """When the last stage that was given ends; inf if it does not."""
        return self._starts_s[-1] if isfinite(self._starts_s[-1]) and len(self.stages) > 1 else inf

    @property
    def peak(self) -> float:
        """The highest rate."""
        return max(max(each.first, each.last) for each in self.stages)

    def rate(self, elapsed_s: float) -> float:
        """Arrivals per second at a time."""
        at = self._stage_at(elapsed_s)
        stage, within_s = self.stages[at], elapsed_s - self._starts_s[at]
        return stage.first + _slope(stage) * within_s

    def stage_number(self, elapsed_s: float) -> int:
        """Which of the stages holds at a time, from 1; the one that follows the last given one counts as well."""
        return self._stage_at(elapsed_s) + 1

    def total(self, elapsed_s: float) -> float:
        """How many arrivals there are until a time, fractions included: the integral of the rate."""
        if elapsed_s <= 0:
            return 0.0
        at = self._stage_at(elapsed_s)
        stage, within_s = self.stages[at], elapsed_s - self._starts_s[at]
        return self._totals[at] + within_s * (stage.first + _slope(stage) * within_s / 2)

    def when(self, total: float) -> float:
        """The first time at which there are so many arrivals; inf if there never are."""
        at = max(0, bisect_left(self._totals, total) - 1)
        starts_s, ends_s, first, slope = self._spans[at]
        missing = max(0.0, total - self._totals[at])
        # The root of first * t + slope * t^2 / 2 = missing, in the form that keeps its digits for a slope near zero.
        divisor = first + sqrt(max(0.0, first * first + 2 * slope * missing)) if slope else 2 * first
        if divisor <= 0:
            return starts_s if missing <= 0 else inf
        return min(starts_s + 2 * missing / divisor, ends_s)

    def _stage_at(self, elapsed_s: float) -> int:
        return max(0, bisect_right(self._starts_s, elapsed_s) - 1)


def users_for(curve: RateCurve, busy_for_s: float = 0.0) -> int:
    """How many users a rate gets: as many as arrive in two seconds, at least 10 and at most 10,000.

    ``busy_for_s``: how long iterations may take, if that is more than two seconds, before arrivals find no user.
    """
    return min(max(ceil(max(_USERS_FOR_S, busy_for_s) * curve.peak), _FEWEST_USERS), _MOST_USERS)


def spawn_rate_for(users: int) -> float:
    """How many of so many users are started per second: all in five seconds, as far as that is from 10 to 500."""
    return min(max(users / _SPAWNED_IN_S, _SLOWEST_SPAWN), _FASTEST_SPAWN)


def _slope(stage: Stage) -> float:
    return 0.0 if stage.over_s == inf else (stage.last - stage.first) / stage.over_s
