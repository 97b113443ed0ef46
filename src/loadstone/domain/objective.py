"""Objective: one requirement that a run must meet, such as ``p95<500ms``, ``failures<=0.1%`` or ``cpu(target)<90%``.

    OBJECTIVE = METRIC [ "[" NAME "]" | "(" SERVICE ")" ] OPERATOR LIMIT
    p50 ... p99.9, mean, min, max   < <= > >=      latency with a unit: us, ms, s, min
    service.p95, service.mean ...   < <= > >=      the same of service times
    failures                        < <= > >= ==   percent of the requests (0.1%), or how many (10)
    rps, count                      < <= > >= ==   requests per second of the window, requests
    exceptions                      < <= > >= ==   how many exceptions tasks raised in the window
    cpu(SERVICE)                    < <= > >=      mean over the window: percent of its limit (90%), or cores (1.5)
    mem(SERVICE)                    < <= > >=      highest in the window: percent of its limit, or B, KB ... GiB

Under the open model latencies are response times, from the intended start to the answer, and those with ``service.``
are service times, from sent to answered; under the closed model both are the same. ``[POST /predict]`` or
``[/predict]`` selects one request name; without it all requests count. Users read the same in
docs/reference/objectives.md.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import floor, inf, isfinite, log10
from typing import TYPE_CHECKING, Final

from loadstone.domain.in_flight import figure_us
from loadstone.domain.rollup import MAX_DURATION_US
from loadstone.domain.time import US_PER_MS
from loadstone.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from loadstone.domain.facts import RunFacts, ServiceUsage
    from loadstone.domain.rollup import Rollup

__all__ = [
    "EXCEPTIONS",
    "Objective",
    "ObjectiveResult",
    "Outcome",
    "margin_pct",
    "number_text",
    "parse_objective",
    "parse_objectives",
]

EXCEPTIONS: Final = "exceptions"
"""The metric of objectives that limit the exceptions of tasks."""
_LATENCY_UNITS: Final[Mapping[str, float]] = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0}
_MEMORY_UNITS: Final[Mapping[str, float]] = {
    unit: float(base**power)
    for base, infix in ((1000, ""), (1024, "i"))
    for power, unit in enumerate(["B", f"K{infix}B", f"M{infix}B", f"G{infix}B", f"T{infix}B"])
}
_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_SHAPE: Final = re.compile(
    r"\s*(?P<metric>(?:[A-Za-z]+\.)?[A-Za-z]+[0-9.]*)\s*(?:\[(?P<name>.*)\]|\((?P<service>.*)\))?\s*"
    r"(?P<op><=|>=|==|<|>)\s*(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>[A-Za-z%]*(?:/s)?)\s*"
)
_PERCENTILE: Final = re.compile(r"p([0-9]+(?:\.[0-9]+)?)")
_SERVICE: Final = "service."
"""Begins the metrics of service times."""
_EXACT: Final = frozenset({"mean", "min", "max"})
_PERCENT: Final = "%"
_ALL: Final = 100.0
_PLURALS: Final = frozenset({"failures", "exceptions"})
_SHOWN: Final = 10
_MOST_DIGITS: Final = 9
"""Behind the point."""
_EXAMPLE: Final = "For example p95<500ms, failures<=0.1%, rps>=1000, p99[POST /predict]<300ms or cpu(target)<90%"


class Outcome(StrEnum):
    """How an objective came out, as people read it."""

    HELD = "held"
    MISSED = "missed"
    UNDECIDED = "undecided"  # it could not be measured, or the measurement does not tell

    @classmethod
    def of(cls, ok: bool | None) -> Outcome:  # noqa: FBT001  (the field of every result)
        """The word for the field ``ok`` of a result."""
        return cls.UNDECIDED if ok is None else cls.HELD if ok else cls.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """How one objective came out: ``ok`` is None when it could not be measured, and ``reason`` says why.

    ``metric`` is the objective's key; ``value`` (None if not measured) and ``limit`` are in ``unit``.
    """

    text: str
    metric: str
    operator: str
    limit: float
    value: float | None
    unit: str
    ok: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One requirement for a run. ``limit`` is in ``unit``: ms, %, cores, a unit of memory, 1/s, or "" for counts.

    ``name`` selects a request name, ``service`` the service whose usage is judged; at most one of the two is set.
    """

    text: str
    metric: str
    operator: str
    limit: float
    unit: str
    name: str | None = None
    service: str | None = None

    @property
    def key(self) -> str:
        """Metric and selection: ``p95``, ``p95[POST /predict]``, ``cpu(target)``."""
        if self.name is not None:
            return f"{self.metric}[{self.name}]"
        return f"{self.metric}({self.service})" if self.service is not None else self.metric

    @property
    def figure(self) -> str:
        """The metric without what says that it is one of service times."""
        return self.metric.removeprefix(_SERVICE)

    @property
    def of_service_times(self) -> bool:
        """Whether it judges service times, and not response times."""
        return self.metric.startswith(_SERVICE)

    @property
    def percent(self) -> float | None:
        """The percentile, 0 to 100, of a metric such as ``p95``; None for other metrics."""
        found = _PERCENTILE.fullmatch(self.figure)
        return float(found[1]) if found else None

    @property
    def is_latency(self) -> bool:
        """Whether it judges durations."""
        return self.unit == "ms"

    @property
    def is_usage(self) -> bool:
        """Whether it judges the usage of a service."""
        return self.service is not None

    @property
    def is_total(self) -> bool:
        """Whether it judges a count of the whole window, which only grows."""
        return self.unit == "" and self.metric in {"count", "failures", EXCEPTIONS}

    def is_lost_at(self, total: float) -> bool:
        """Whether a total that only grows is beyond the limit for good."""
        return self.operator in {"<", "<=", "=="} and not _OPERATORS[self.operator.replace("==", "<=")](
            total, self.limit
        )

    def evaluate(self, facts: RunFacts) -> ObjectiveResult:
        """Evaluate the objective on the facts of a run."""
        measured = self._usage(facts) if self.is_usage else self._of_tasks(facts)
        if isinstance(measured, str):
            return self._result(None, None, f"{self.key} could not be measured: {measured}")
        ok = _OPERATORS[self.operator](measured, self.limit)
        value = number_text(measured, self.limit)
        limit = f"{number_text(self.limit)}{self._suffix}"
        verb = "are" if self.metric in _PLURALS else "is"
        what = self._what(facts)
        return self._result(measured, ok, f"{what} {verb} {value}{self._suffix}, must be {self.operator} {limit}")

    def _what(self, facts: RunFacts) -> str:
        """The key; under the open model it says in words which time a latency is of."""
        if facts.arrivals is None or not self.is_latency:
            return self.key
        return f"{'service' if self.of_service_times else 'response'} time {self.key.removeprefix(_SERVICE)}"

    @property
    def _suffix(self) -> str:
        return "/s" if self.unit == "1/s" else f" {self.unit}".rstrip()

    def _result(self, value: float | None, ok: bool | None, reason: str) -> ObjectiveResult:  # noqa: FBT001
        return ObjectiveResult(
            text=self.text,
            metric=self.key,
            operator=self.operator,
            limit=self.limit,
            value=value,
            unit=self.unit,
            ok=ok,
            reason=reason,
        )

    def _of_tasks(self, facts: RunFacts) -> float | str:
        return float(facts.raised) if self.metric == EXCEPTIONS else self._requests(facts)

    def _requests(self, facts: RunFacts) -> float | str:
        rollup, in_flight = facts.select(self.name), facts.in_flight(self.name)
        if not rollup.n and not in_flight.n:
            return "no request at all in the window" if self.name is None else _no_such_name(self.name, facts)
        if self.metric == "rps":
            return rollup.n / facts.window.seconds if facts.window.seconds else "the window is empty"
        if self.metric == "failures":
            failed, of_all = rollup.err + in_flight.err, rollup.n + in_flight.err
            return failed if self.unit != _PERCENT else _ALL * failed / of_all if of_all else 0.0
        if self.metric == "count":
            return float(rollup.n)
        if self.of_service_times:
            rollup, in_flight = rollup.by_service, in_flight.by_service
        if not rollup.timed and not in_flight.timed:
            return "none of the requests has a response time"
        return figure_us(rollup, in_flight, self._latency_us) / US_PER_MS

    def _latency_us(self, rollup: Rollup) -> float:
        if self.percent is not None:
            return rollup.percentile_us(self.percent)
        exact = {"mean": rollup.mean_us, "min": rollup.rt_min_us, "max": rollup.rt_max_us}
        return exact[self.figure]

    def _usage(self, facts: RunFacts) -> float | str:
        usage = facts.usage.get(self.service or "")
        if usage is None:
            known = ", ".join(sorted(facts.usage)) or "none"
            return f"no usage of {self.service!r} in the window (services with usage: {known})"
        return self._cpu(usage, facts.host_cores) if self.metric == "cpu" else self._mem(usage)

    def _cpu(self, usage: ServiceUsage, host_cores: float | None) -> float | str:
        if self.unit != _PERCENT:
            return usage.cpu_cores
        limit = usage.cpu_limit or host_cores
        if not limit:
            return f"{self.service!r} has no CPU limit to be a percentage of; it used {usage.cpu_cores:.2f} cores"
        return _ALL * usage.cpu_cores / limit

    def _mem(self, usage: ServiceUsage) -> float | str:
        if self.unit != _PERCENT:
            return usage.mem_bytes / _MEMORY_UNITS[self.unit]
        if usage.mem_pct is None:
            return f"{self.service!r} has no memory limit to be a percentage of; it used {usage.mem_bytes} bytes"
        return usage.mem_pct


def _no_such_name(name: str, facts: RunFacts) -> str:
    known = sorted(each.label for each in facts.names)
    return f"no request named {name!r} in the window (there are: {', '.join(known[:_SHOWN]) or 'none'})"


def margin_pct(operator: str, limit: float, value: float | None) -> float | None:
    """How far a value is on the good side of its limit, in percent of the limit; negative where it misses the limit.

    None without a value, of a limit of zero, and of one that has to be met exactly.
    """
    if value is None or not limit or operator == "==":
        return None
    above = _ALL * (value - limit) / limit
    return above if operator.startswith(">") else -above


def number_text(value: float, unlike: float | None = None) -> str:
    """A number for people: at most three decimals, or as many as it takes to look different from ``unlike``.

    What is smaller than a thousandth has two digits behind its zeros.
    """
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3  # noqa: PLR2004
    if 0 < abs(value) < 0.001:  # noqa: PLR2004
        digits = min(_MOST_DIGITS, 1 - floor(log10(abs(value))))
    while unlike is not None and value != unlike and round(value, digits) == round(unlike, digits):
        if digits >= _MOST_DIGITS:
            break
        digits += 1
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_objectives(lines: Iterable[str]) -> tuple[Objective, ...]:
    """The objectives in these lines, each once. Raises `SettingsError` with the problems of all of them."""
    found: dict[str, Objective] = {}
    problems = []
    for line in lines:
        try:
            objective = parse_objective(line)
        except UsageError as error:
            problems.append(str(error))
        else:
            found[objective.text] = objective
    if problems:
        raise SettingsError(problems)
    return tuple(found.values())


@lru_cache(maxsize=256)  # a collector judges the same few objectives every second
def parse_objective(text: str) -> Objective:
    """The objective in one line. Raises `UsageError` that names the text, what is wrong, and what is allowed."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise UsageError(f"objective {text!r} is not METRIC OPERATOR LIMIT", hint=_EXAMPLE)
    try:
        limit, unit = _limit(shape)
        _check_decides(shape, limit, unit)
    except ValueError as error:
        raise UsageError(f"objective {text!r}: {error}", hint=_EXAMPLE) from None
    return Objective(
        text=text.strip(),
        metric=shape["metric"].lower(),
        operator=shape["op"],
        limit=limit,
        unit=unit,
        name=_selection(shape["name"]),
        service=_selection(shape["service"]),
    )


def _selection(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _limit(shape: re.Match[str]) -> tuple[float, str]:
    """The limit in the unit of results, and that unit. Raises `ValueError` with one sentence."""
    metric, unit, number = shape["metric"].lower(), shape["unit"], float(shape["number"])
    if metric.startswith(_SERVICE) and not _is_latency(metric.removeprefix(_SERVICE)):
        raise ValueError(f"{_SERVICE} goes before latencies only: p50 ... p99.9, mean, min and max")
    _check_selection(metric, shape)
    if metric in {"failures", "rps", "count", EXCEPTIONS}:
        return _count_limit(metric, unit, number)
    if shape["op"] == "==":
        raise ValueError(f"== works with failures, rps, count and exceptions only; {metric} takes <, <=, > or >=")
    if metric in {"cpu", "mem"}:
        return _usage_limit(metric, unit, number)
    if _is_latency(metric.removeprefix(_SERVICE)):
        return _latency_limit(metric, unit, number)
    raise ValueError(f"unknown metric {metric!r}; allowed are p50 ... p99.9, mean, min, max, service.p50 ..., "
                     "failures, rps, count, exceptions, cpu(SERVICE), mem(SERVICE)")  # fmt: skip


def _check_decides(shape: re.Match[str], limit: float, unit: str) -> None:
    """Raise `ValueError` when every possible value, or none, meets the limit: such an objective judges nothing."""
    if not isfinite(limit):
        raise ValueError("its limit is too large to be a number")
    if shape["op"] == "==" and unit == "" and not limit.is_integer():
        raise ValueError("it can never hold, because requests are counted in whole numbers")
    highest = _highest(shape["metric"].lower(), unit)
    values = (0.0, min(limit, highest), (limit + highest) / 2 if limit < highest else highest, highest)
    holds = {_OPERATORS[shape["op"]](value, limit) for value in values}
    if len(holds) == 1:
        always = "always holds" if holds == {True} else "can never hold"
        what = "no value is below 0" if not limit else f"no value is above {number_text(highest)} {unit}"
        raise ValueError(f"it {always}, because {what}")


def _highest(metric: str, unit: str) -> float:
    """The highest value that a metric may have."""
    if unit == "ms":
        return MAX_DURATION_US / US_PER_MS
    return _ALL if unit == _PERCENT and metric == "failures" else inf


def _check_selection(metric: str, shape: re.Match[str]) -> None:
    if metric in {"cpu", "mem"}:
        if not (shape["service"] or "").strip():
            raise ValueError(f"{metric} needs a service in round brackets, such as {metric}(target)")
    elif metric == EXCEPTIONS and (shape["name"] or shape["service"]) is not None:
        raise ValueError("exceptions are counted over all tasks, so it takes no brackets")
    elif shape["service"] is not None:
        raise ValueError(f"{metric} takes a request name in square brackets, such as {metric}[POST /predict]")
    elif shape["name"] is not None and not shape["name"].strip():
        raise ValueError("the request name in square brackets is empty")


def _is_latency(figure: str) -> bool:
    return figure in _EXACT or _is_percentile(figure)


def _is_percentile(metric: str) -> bool:
    found = _PERCENTILE.fullmatch(metric)
    if found is None:
        return False
    if not 0 < float(found[1]) <= _ALL:
        raise ValueError(f"{metric} is not a percentile; allowed are p0.1 to p100")
    return True


def _latency_limit(metric: str, unit: str, number: float) -> tuple[float, str]:
    if not unit:
        raise ValueError(f"{metric} is a latency, so its limit needs a unit: us, ms, s or min")
    if unit not in _LATENCY_UNITS:
        raise ValueError(f"{unit!r} is not a unit of time; allowed are us, ms, s and min")
    return round(number * _LATENCY_UNITS[unit], 9), "ms"


def _count_limit(metric: str, unit: str, number: float) -> tuple[float, str]:
    if metric == "failures" and unit == _PERCENT:
        if number > _ALL:
            raise ValueError(f"{number:g}% of the requests is more than 100%")
        return number, _PERCENT
    if unit and not (metric == "rps" and unit == "/s"):
        raise ValueError(
            f"{metric} takes a plain number{' or a percentage' if metric == 'failures' else ''}, not {unit!r}"
        )
    return number, "1/s" if metric == "rps" else ""


def _usage_limit(metric: str, unit: str, number: float) -> tuple[float, str]:
    if unit == _PERCENT:
        return number, _PERCENT
    if metric == "cpu":
        if unit not in {"", "cores", "core"}:
            raise ValueError(f"cpu takes percent of its limit (90%) or cores (1.5), not {unit!r}")
        return number, "cores"
    if unit not in _MEMORY_UNITS:
        raise ValueError(f"mem takes percent of its limit (80%) or bytes with a unit, not {unit!r}; allowed units are "
                         + ", ".join(_MEMORY_UNITS))  # fmt: skip
    return number, unit
