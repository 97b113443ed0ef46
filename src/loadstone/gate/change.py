"""ChangeObjective: a limit on the change from one run to another, such as ``p95<=+5%`` or ``rps>=-2%``.

OBJECTIVE = METRIC [ "[" NAME "]" ] OPERATOR SIGN LIMIT
p50 ... p99.9, mean, rps    < <= > >=    percent of the base run's figure: p95<=+5%
failures                    < <= > >=    percentage points: failures<=+0.1pp
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["ChangeObjective", "parse_change_objectives"]

_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHAPE: Final = re.compile(
    r"\s*(?P<metric>p\d+(?:\.\d+)?|mean|rps|failures)\s*(?:\[(?P<name>.+)\])?\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<number>[+-]\s*\d+(?:\.\d+)?|0)\s*(?P<unit>%|pp)\s*"
)
_EXAMPLE: Final = "For example p95<=+5%, mean[POST /predict]<=+10%, rps>=-2% or failures<=+0.1pp"
_ALL: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeObjective:
    """``limit`` is in percent, or in percentage points for failures; ``name`` is None for all requests."""

    text: str
    metric: str
    operator: str
    limit: float
    name: str | None = None

    def holds(self, change: float) -> bool:
        """Whether a change is within the limit."""
        return _OPERATORS[self.operator](change, self.limit)


def parse_change_objectives(lines: Iterable[str]) -> tuple[ChangeObjective, ...]:
    """The objectives in these lines. Raises `SettingsError` with the problems of all lines."""
    found, problems = [], []
    for line in lines:
        try:
            found.append(_parse(line))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return tuple(found)


def _parse(text: str) -> ChangeObjective:
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise UsageError(f"objective {text!r} does not have the form METRIC OPERATOR CHANGE", hint=_EXAMPLE)
    metric, unit = shape["metric"], shape["unit"]
    if (metric == "failures") != (unit == "pp"):
        allowed = "pp (percentage points)" if metric == "failures" else "%"
        raise UsageError(
            f"objective {text!r}: a change of {metric} is given in {allowed}, not in {unit}", hint=_EXAMPLE
        )
    if metric.startswith("p") and not 0 < float(metric[1:]) <= _ALL:
        raise UsageError(f"objective {text!r}: {metric} is not a percentile; allowed are p0.1 to p100", hint=_EXAMPLE)
    return ChangeObjective(
        text=text.strip(),
        metric=metric,
        operator=shape["op"],
        limit=float(shape["number"].replace(" ", "")),
        name=shape["name"].strip() if shape["name"] else None,
    )
