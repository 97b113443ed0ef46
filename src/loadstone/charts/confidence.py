"""How sure the measured value of each objective is: its 99 % interval.

Latencies, rates and the share of failures are resampled in blocks of seconds, as for `loadstone compare`; a share is
never given a narrower interval than Wilson's, which is all that can be said where nothing failed. What was measured
once, such as usage, a count or a service time, has none. Neither has a value that requests in flight have changed, of
which no second knows, nor one that too few seconds or requests make, nor one of a run that is so large that resampling
it would hold up the end of the run or take too much memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.archive.seconds import read_seconds
from loadstone.domain.bootstrap import (
    FEWEST_SECONDS,
    Interval,
    Resampled,
    factor,
    percentile_us,
    share_interval,
    wilson,
)
from loadstone.domain.objective import number_text, parse_objective
from loadstone.domain.run_seconds import ALL
from loadstone.domain.time import NS_PER_S, US_PER_MS
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import ObjectiveRecord, PartRecord
    from loadstone.domain.objective import Objective
    from loadstone.domain.request_name import RequestName

__all__ = ["objective_intervals"]

_STREAM: Final = 0
_DRAWS: Final = 500
_MOST_S: Final = 4 * 3600
_MOST_CELLS: Final = 8_000_000
"""Of seconds x histogram buckets, 8 bytes each: they are all in memory at once, beside the draws."""
_FEWEST_BEYOND: Final = 10
"""Requests on either side of a percentile: with fewer, resampling draws the same few of them again and again."""
_SAME: Final = 0.02
"""How far a judged value may be from that of the answered requests, as a share of it: histograms and parts of seconds
make about so much; more comes from requests in flight."""


def objective_intervals(run: ClosedRun) -> list[str | None]:
    """For each objective of a run the interval of its value in its unit, such as ``11.9 to 14.2``; None without one.

    Raises `ArchiveError`.
    """
    parsed = [_parsed(each) for each in run.record.objectives]
    judged = zip(run.record.objectives, parsed, strict=True)
    drawn = _resampled(run, [each for found, each in judged if each and _needs_seconds(each, found.value)])
    return [
        _interval(found.value, objective, drawn, run.record.judged) if objective and found.value is not None else None
        for found, objective in zip(run.record.objectives, parsed, strict=True)
    ]


def _parsed(found: ObjectiveRecord) -> Objective | None:
    try:
        objective = parse_objective(found.text)
    except UsageError:  # the verdict says what is wrong with it
        return None
    return None if found.value is None or objective.of_service_times or objective.is_usage else objective


def _needs_seconds(objective: Objective, value: float | None) -> bool:
    if objective.metric == "failures":
        return objective.unit == "%" and bool(value)
    return objective.metric in {"mean", "rps"} or objective.percent is not None


def _resampled(run: ClosedRun, objectives: Sequence[Objective]) -> dict[RequestName, Resampled]:
    """The names of these objectives, resampled; none where that would take too much time or memory."""
    window = run.record.window
    if not objectives or window.end_ns - window.start_ns > _MOST_S * NS_PER_S:
        return {}
    names = {objective.name for objective in objectives if objective.name is not None}
    seconds = read_seconds(run, names=names, most_cells=_MOST_CELLS)
    return {
        name: Resampled(of, stream=_STREAM, draws=_DRAWS) for name, of in seconds.items() if len(of) >= FEWEST_SECONDS
    }


def _interval(
    value: float, objective: Objective, drawn: Mapping[RequestName, Resampled], judged: PartRecord
) -> str | None:
    selected = _selected(objective.name, drawn)
    if objective.metric == "failures":
        interval = _of_share(value, objective, selected, judged) if objective.unit == "%" else None
    else:
        interval = _of_seconds(value, objective, selected, judged) if selected else None
    return f"{number_text(interval.low)} to {number_text(interval.high)}" if interval else None


def _selected(name: str | None, drawn: Mapping[RequestName, Resampled]) -> Resampled | None:
    """The name that an objective judges; None where it judges several together."""
    found = [of for each, of in drawn.items() if (each == ALL if name is None else _is_called(each, name))]
    return found[0] if len(found) == 1 else None


def _is_called(each: RequestName, name: str) -> bool:
    return each != ALL and name in {each.label, each.name}


def _of_share(value_pct: float, objective: Objective, drawn: Resampled | None, judged: PartRecord) -> Interval | None:
    names = [each for each in judged.names if objective.name is None or _is_called(each.request_name, objective.name)]
    n, failed = sum(each.requests for each in names), sum(each.failures for each in names)
    if not n or not _is_same(value_pct, 100 * failed / n):
        return None
    found = [wilson(failed, n)]
    if failed:
        if drawn is None:
            return None
        found.append(share_interval(drawn.shares(), len(drawn.seconds)))
    widest = max(found, key=lambda interval: interval.high - interval.low)
    return Interval(100 * widest.low, 100 * widest.high)


def _of_seconds(value: float, objective: Objective, drawn: Resampled, judged: PartRecord) -> Interval | None:
    """What resampling does to the figure of all seconds, done to the value."""
    seconds, timed = drawn.seconds, int(drawn.seconds.timed.sum())
    if objective.percent is not None:
        beyond = round(timed * min(objective.percent, 100 - objective.percent) / 100, 6)
        if beyond < _FEWEST_BEYOND:
            return None
        whole, draws = percentile_us(seconds, objective.percent), drawn.percentiles_us(objective.percent)
    elif objective.metric == "mean":
        whole, draws = float(seconds.rt_sum_us.sum()) / timed if timed else 0.0, drawn.means_us()
    elif objective.metric == "rps":
        whole, draws = float(seconds.n.sum()) / len(seconds), drawn.rates()
    else:
        return None
    if objective.is_latency and _in_flight(objective.name, judged) and not _is_same(value, whole / US_PER_MS):
        return None
    found = factor(whole, draws, len(seconds))
    return found and Interval(value * found.low, value * found.high)


def _in_flight(name: str | None, judged: PartRecord) -> int:
    """How many requests in flight the latencies of a name, or of all, include."""
    if name is None:
        return judged.total.in_flight
    return sum(each.in_flight for each in judged.names if _is_called(each.request_name, name))


def _is_same(value: float, answered: float) -> bool:
    return abs(value - answered) <= _SAME * answered
