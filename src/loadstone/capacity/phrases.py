"""Phrases of an answer that need no explanation: counts, limits, objectives and margins as people read them."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

from loadstone.domain.objective import number_text, parse_objectives
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadstone.domain.objective import Objective
    from loadstone.rig.rig import Setting

__all__ = ["aims_text", "counted", "limits_phrase", "margin_text", "setting_text"]

_CONFIDENT: Final = 1.96
"""Standard errors to each side of an interval that holds the truth in 95 % of the cases."""
_AT: Final[Mapping[str, str]] = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least", "==": "exactly"}
_LATENCIES: Final[Mapping[str, str]] = {"mean": "a mean latency", "max": "a highest latency", "min": "a lowest latency"}
_COUNTS: Final[Mapping[str, str]] = {"failures": "failures", "rps": "requests a second", "count": "requests"}
_MS_PER_S: Final = 1000.0


def counted(count: int, word: str) -> str:
    """A number with its word: "1 trial", "1,000 users"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def setting_text(setting: Setting) -> str:
    """Limits in the cell of a table: "2 replicas of 0.75 CPU and 512m"."""
    return f"{counted(setting.replicas, 'replica')} of {setting.cpu_cores:g} CPU and {memory_text(setting.mem_bytes)}"


def limits_phrase(setting: Setting) -> str:
    """Limits in a sentence: "2 replicas with 0.75 CPU and 512m of memory each"."""
    each = " each" if setting.replicas > 1 else ""
    limits = f"{setting.cpu_cores:g} CPU and {memory_text(setting.mem_bytes)} of memory"
    return f"{counted(setting.replicas, 'replica')} with {limits}{each}"


def aims_text(objectives: Iterable[str]) -> str:
    """Objectives in words: "95 % of requests in less than 500 ms, at most 1 % failures"."""
    return ", ".join(map(_aim, parse_objectives(objectives)))


def _aim(objective: Objective) -> str:
    """One of them; it is written as it was given where no words are better."""
    at, limit = _AT[objective.operator], f"{number_text(objective.limit)} {objective.unit}".rstrip()
    if objective.is_latency and objective.limit >= _MS_PER_S:
        limit = f"{number_text(objective.limit / _MS_PER_S)} s"
    if objective.percent is not None and objective.operator[0] == "<" and not objective.of_service_times:
        name = "" if objective.name is None else f" {objective.name}"
        return f"{objective.percent:g} % of requests{name} in {at} {limit}"
    if objective.name is not None:
        return objective.text
    if objective.metric in _LATENCIES:
        return f"{_LATENCIES[objective.metric]} of {at} {limit}"
    if objective.metric in _COUNTS:
        what = _COUNTS[objective.metric]
        none = objective.limit == 0 and objective.operator in {"<=", "=="}
        return f"no {what}" if none else f"{at} {limit.removesuffix('1/s').rstrip()} {what}"
    return objective.text


def margin_text(margin: float, se: float) -> str:
    """A margin as people read it: how much of its limit an objective had to spare, or was beyond it."""
    sign = 1 if margin > 0 else -1
    share, *ends = (
        100 * sign * (exp(each) - 1) for each in (margin, margin - _CONFIDENT * se, margin + _CONFIDENT * se)
    )
    low, high = sorted(ends)
    interval = f" (95 % interval: {low:.0f} to {high:.0f} %)" if se else ""
    return f"missed by {share:.0f} %{interval}" if sign > 0 else f"held with {share:.0f} % to spare{interval}"
