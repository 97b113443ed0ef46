"""Forecast: how many trials a study will take and how long, by conducting it on imagined targets without noise.

The targets differ in how many cores they need: from what the smallest setting has to what the largest has. Trials that
are invalid, or too near a limit to tell, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, inf, log
from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.capacity.evidence import Observation, SettingObservation
from loadstone.capacity.search import Ask, Cheapest
from loadstone.capacity.trials import converse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.capacity.grid import Grid
    from loadstone.capacity.most import AskLevel, Most

__all__ = ["Forecast", "duration_text", "forecast_most", "forecast_setting"]

_TARGETS: Final = 24
_USABLE: Final = 0.85
_STEEP: Final = 3.0
_MOST_MARGIN: Final = 2.0
_SE: Final = 0.05
_MEMORY_SHARE: Final = 0.4
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The least, the median and the most over the imagined targets: of trials, and of seconds."""

    trials: tuple[int, float, int]
    seconds: tuple[float, float, float]

    def within(self, trials: int | None, seconds: float | None) -> Forecast:
        """The same where no more trials, and no more time, are allowed than these."""
        most, most_s = inf if trials is None else trials, inf if seconds is None else seconds
        least, usual, high = self.trials
        low_s, usual_s, high_s = self.seconds
        return Forecast(
            trials=(int(min(least, most)), min(usual, most), int(min(high, most))),
            seconds=(min(low_s, most_s), min(usual_s, most_s), min(high_s, most_s)),
        )

    def left_text(self, made: int, spent_s: float) -> str:
        """What is left after so many trials and seconds: usually, and at most; empty where it was taken for less."""
        usual, most = ceil(self.trials[1]) - made, self.trials[2] - made
        usual_s, most_s = self.seconds[1] - spent_s, self.seconds[2] - spent_s
        if most < 1 or most_s <= 0:
            return ""
        at_most = f"at most {_trials(most)} and {duration_text(most_s)}"
        if usual < 1 or usual_s <= 0 or usual == most:
            return f"left: {at_most}"
        return f"left: about {_trials(usual)} and {duration_text(usual_s)}, {at_most}"


def forecast_setting(grid: Grid, first_look_s: float, overhead_s: float) -> Forecast:
    """For the search for the cheapest setting; ``overhead_s`` is what a trial takes beside its window."""
    least = grid.cpu_cores[0] * grid.replicas[0] * _USABLE
    most = grid.cpu_cores[-1] * grid.replicas[-1] * _USABLE
    studies = []
    for cores in _between(least, most):
        windows: list[float] = []
        converse(Cheapest(grid, first_look_s=first_look_s).steps(), _setting_observer(grid, cores, windows))
        studies.append(windows)
    return _of(studies, overhead_s)


def forecast_most(search: Callable[[], Most], overhead_s: float) -> Forecast:
    """For the search for the most users; ``search`` makes a new one."""
    asked = search()
    studies = []
    for users in _between(max(asked.least, asked.first / 8), min(asked.most, asked.first * 64)):
        windows: list[float] = []
        converse(search().steps(), _users_observer(users, windows))
        studies.append(windows)
    return _of(studies, overhead_s)


def _between(least: float, most: float) -> Iterator[float]:
    for step in range(_TARGETS):
        yield exp(log(least) + (log(max(most, least)) - log(least)) * (step + 0.5) / _TARGETS)


def _setting_observer(grid: Grid, cores: float, windows: list[float]) -> Callable[[Ask], SettingObservation]:
    peak = round(_MEMORY_SHARE * grid.mem_bytes[-1])

    def observe(ask: Ask) -> SettingObservation:
        windows.append(ask.window_s)
        setting = grid.setting(ask.point)
        margin = _margin(cores / _USABLE / (setting.cpu_cores * setting.replicas))
        return SettingObservation(
            margin=margin if peak <= setting.mem_bytes else None,
            margin_se=_SE,
            cpu_cores=min(cores / setting.replicas, setting.cpu_cores),
            peak_mem_bytes=min(peak, setting.mem_bytes),
            idle_mem_bytes=peak // 2,
        )

    return observe


def _users_observer(most: float, windows: list[float]) -> Callable[[AskLevel], Observation]:
    def observe(ask: AskLevel) -> Observation:
        windows.append(ask.window_s)
        return Observation(margin=_margin(ask.level / most), margin_se=_SE)

    return observe


def _margin(load: float) -> float:
    """The margin of a target at this share of what it holds."""
    return min(max(_STEEP * log(load), -_MOST_MARGIN), _MOST_MARGIN) or -_SE


def duration_text(seconds: float) -> str:
    """Minutes, or seconds where it is less than one."""
    return f"{seconds / _MINUTE_S:.0f} min" if seconds >= _MINUTE_S else f"{seconds:.0f} s"


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def _of(studies: list[list[float]], overhead_s: float) -> Forecast:
    trials = sorted(len(windows) for windows in studies)
    seconds = sorted(sum(windows) + overhead_s * len(windows) for windows in studies)
    return Forecast(trials=(trials[0], median(trials), trials[-1]), seconds=(seconds[0], median(seconds), seconds[-1]))
