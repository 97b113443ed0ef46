"""Margin: by how much a run met its objectives or missed them, as one number with a standard error.

The margin of an objective is ln(value / limit), with the sign turned for one that sets a floor: negative means that it
holds, and 0.1 that it is missed by a tenth. That of a run is its largest. Logarithms make latencies of different limits
comparable, and the errors of a percentile nearly symmetric.

The standard error is that of the block bootstrap over seconds (`loadstone.domain.bootstrap`) for latencies and rates,
and of a Poisson count for failures. It says nothing about how much the next run would differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from loadstone.archive.seconds import read_seconds
from loadstone.domain.bootstrap import Resampled
from loadstone.domain.objective import parse_objective
from loadstone.domain.run_seconds import ALL
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_record import ObjectiveRecord, PartRecord
    from loadstone.domain.objective import Objective
    from loadstone.domain.request_name import RequestName
    from loadstone.domain.run_seconds import RunSeconds

__all__ = ["Margin", "margin_of"]

_FAR: Final = 3.0
"""A margin beyond this, a factor of twenty, is not told apart from it; so one of a limit of zero is finite."""
_DRAWS: Final = 300
_STREAM: Final = 0
_CERTAIN_SE: Final = 0.02
"""Of a value that is measured rather than estimated, such as memory or a count."""
_COUNTS: Final = frozenset({"failures", "exceptions"})


@dataclass(frozen=True, slots=True, order=True)
class Margin:
    """The margin of one objective, its standard error, and the objective's text."""

    value: float
    se: float
    objective: str


def margin_of(run: ClosedRun) -> Margin:
    """The largest margin of a closed run, over the objectives that could be measured.

    Raises `UsageError` without such an objective, and `ArchiveError`.
    """
    objectives = run.record.objectives
    if not objectives:
        raise UsageError("a run without objectives has no margin", hint="Name one with --objective, such as p95<500ms")
    seconds = read_seconds(run)
    measured = [(each, each.value) for each in objectives if each.value is not None]
    if not measured:
        raise UsageError(f"objective {objectives[0].text} cannot be decided: {objectives[0].reason}")
    return max(_margin(each, value, seconds, run.record.judged) for each, value in measured)


def _margin(
    result: ObjectiveRecord, measured: float, seconds: Mapping[RequestName, RunSeconds], judged: PartRecord
) -> Margin:
    objective = parse_objective(result.text)
    sign = -1.0 if objective.operator in {">", ">="} else 1.0
    if objective.operator == "==" or not objective.limit:  # exactly met or not: there is no nearly
        return Margin(-_FAR if result.ok else _FAR, _CERTAIN_SE, result.text)
    if objective.metric in _COUNTS:
        value, se = _of_count(objective, measured, _requests(objective.name, judged))
    else:
        value, se = _ratio(measured, objective.limit), _error(objective, _selected(objective.name, seconds))
    return Margin(sign * value, se, result.text)


def _of_count(objective: Objective, value: float, requests: int) -> tuple[float, float]:
    """Failures come one by one: half a one more or less, so that none at all has a margin and an error too."""
    of_all = 100 / max(requests, 1) if objective.unit == "%" else 1.0
    counted = value / of_all
    return _ratio((counted + 0.5) * of_all, objective.limit + 0.5 * of_all), 1 / sqrt(counted + 1)


def _requests(name: str | None, judged: PartRecord) -> int:
    """How many requests an objective counts: of all names, or of those that it names with or without their method."""
    if name is None:
        return judged.total.requests
    return sum(each.requests for each in judged.names if name in {each.name, each.request_name.label})


def _ratio(value: float, limit: float) -> float:
    if value <= 0 or limit <= 0:
        return -_FAR if value <= limit else _FAR
    return min(max(log(value / limit), -_FAR), _FAR)


def _error(objective: Objective, selected: list[RunSeconds]) -> float:
    """The standard error of the logarithm; the largest if several request names are judged together."""
    errors = [_spread(draws) for each in selected if (draws := _draws(objective, each)) is not None]
    return max(errors, default=_CERTAIN_SE)


def _draws(objective: Objective, seconds: RunSeconds) -> NDArray[np.float64] | None:
    resampled = Resampled(seconds, stream=_STREAM, draws=_DRAWS)
    if objective.percent is not None:
        return resampled.percentiles_us(objective.percent)
    if objective.figure == "mean":
        return resampled.means_us()
    return resampled.rates() if objective.metric == "rps" else None


def _spread(draws: NDArray[np.float64]) -> float:
    known = draws[np.isfinite(draws) & (draws > 0)]
    return max(float(np.std(np.log(known))), _CERTAIN_SE) if len(known) > 1 else _FAR


def _selected(name: str | None, seconds: Mapping[RequestName, RunSeconds]) -> list[RunSeconds]:
    if name is None:
        return _found(seconds, [ALL])
    return _found(seconds, [each for each in seconds if name in {each.label, each.name} and each != ALL])


def _found(seconds: Mapping[RequestName, RunSeconds], names: Iterable[RequestName]) -> list[RunSeconds]:
    return [seconds[name] for name in names if name in seconds and len(seconds[name])]
