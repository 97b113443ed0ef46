"""How sure the measured value of each objective is: its 99 % interval.

Latencies and rates are resampled in blocks of seconds, as for `loadstone compare`, and the share of failures has
Wilson's interval (`loadstone.domain.bootstrap`). What was measured once, such as usage, a count or a service time, has
none, and neither has a run that is so large that resampling it would hold up the end of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.archive.seconds import read_seconds
from loadstone.domain.bootstrap import Interval, Resampled, factor, percentile_us, wilson
from loadstone.domain.objective import number_text, parse_objective
from loadstone.domain.run_seconds import ALL
from loadstone.domain.time import NS_PER_S
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import ObjectiveRecord, PartRecord
    from loadstone.domain.objective import Objective
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.run_seconds import RunSeconds

__all__ = ["objective_intervals"]

_STREAM: Final = 0
_DRAWS: Final = 500
_MOST_S: Final = 4 * 3600
_MOST_ROWS: Final = 200_000
"""Of rollups: they are all in memory at once."""


def objective_intervals(run: ClosedRun) -> list[str | None]:
    """For each objective of a run the interval of its value in its unit, such as ``11.9 to 14.2``; None without one.

    Raises `ArchiveError`.
    """
    record = run.record
    seconds = read_seconds(run) if _is_small(run) and record.objectives else {}
    return [_interval(each, seconds, record.judged) for each in record.objectives]


def _is_small(run: ClosedRun) -> bool:
    window = run.record.window
    return window.end_ns - window.start_ns <= _MOST_S * NS_PER_S and run.rollups().rows <= _MOST_ROWS


def _interval(found: ObjectiveRecord, seconds: Mapping[RequestName, RunSeconds], judged: PartRecord) -> str | None:
    try:
        objective = parse_objective(found.text)
    except UsageError:  # the verdict says what is wrong with it
        return None
    if found.value is None or objective.of_service_times or objective.is_usage:
        interval = None
    elif objective.metric == "failures":
        interval = _of_share(found.value, objective, judged) if objective.unit == "%" else None
    else:
        selected = _selected(objective.name, seconds)
        interval = _of_seconds(found.value, objective, selected) if selected is not None else None
    return f"{number_text(interval.low)} to {number_text(interval.high)}" if interval else None


def _selected(name: str | None, seconds: Mapping[RequestName, RunSeconds]) -> RunSeconds | None:
    """The seconds that an objective judges; None where it judges several names together."""
    chosen = [ALL] if name is None else [each for each in seconds if each != ALL and name in {each.label, each.name}]
    found = [seconds[each] for each in chosen if each in seconds and len(seconds[each])]
    return found[0] if len(found) == 1 else None


def _of_share(value_pct: float, objective: Objective, judged: PartRecord) -> Interval | None:
    names = [each for each in judged.names if objective.name in {None, each.name, each.request_name.label}]
    n = sum(each.requests for each in names)
    interval = wilson(round(value_pct / 100 * n), n)
    return Interval(100 * interval.low, 100 * interval.high)


def _of_seconds(value: float, objective: Objective, seconds: RunSeconds) -> Interval | None:
    """What resampling does to the figure of all seconds, done to the value, which has requests in flight in it too."""
    drawn = Resampled(seconds, stream=_STREAM, draws=_DRAWS)
    if objective.percent is not None:
        whole, draws = percentile_us(seconds, objective.percent), drawn.percentiles_us(objective.percent)
    elif objective.metric == "mean":
        timed = int(seconds.timed.sum())
        whole, draws = float(seconds.rt_sum_us.sum()) / timed if timed else 0.0, drawn.means_us()
    elif objective.metric == "rps":
        whole, draws = float(seconds.n.sum()) / len(seconds), drawn.rates()
    else:
        return None
    found = factor(whole, draws, len(seconds))
    return found and Interval(value * found.low, value * found.high)
