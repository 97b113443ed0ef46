"""Texts that Grafana shows, read back as numbers in a known unit, and compared with what an archive gives."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from support.boards.values import Between, Near, OneOf

__all__ = ["KINDS", "LAG", "says"]

LAG: Final = "lag"
"""The kind of a lag of the event loop (ms) that is shown in words: from this one on it makes a measurement doubtful."""
_DOUBTFUL_LAG_MS: Final = 10
KINDS: Final[dict[str, dict[str, float]]] = {
    "ms": {"ns": 1e-6, "µs": 1e-3, "ms": 1, "s": 1e3, "min": 60e3, "mins": 60e3, "hour": 3.6e6},
    "s": {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "mins": 60, "hour": 3600},
    "%": {"%": 1},
    "/s": {"req/s": 1, "K req/s": 1e3},
    "connections/s": {"c/s": 1, "K c/s": 1e3},
    "B": {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "MiB": {"MiB": 1, "GiB": 2**10},
    "B/s": {"B/s": 1, "kB/s": 1e3, "MB/s": 1e6},
    "number": {"": 1, "K": 1e3, "Mil": 1e6},
}
"""For each kind of figure the units in which it may be shown, with what one of them is in the archive's own."""
_LAGS: Final = ("yes: no worker lagged", "not always: see event loop lag")
_YES_AND_NO: Final[dict[bool | str, set[bool | str]]] = {True: {"true", "proved"}, False: {"false", "open"}}
_SHOWN: Final = re.compile(r"(-?[\d.,]+) ?(\D*)")
_OF_SHOWN_DIGITS: Final = 0.5001
_HISTOGRAM: Final = 0.004


def says(text: str, expected: Any, kind: str) -> bool:
    """Whether a text shows an expected value, in a unit of its kind, to the last digit that it has."""
    if isinstance(expected, OneOf):
        return any(says(text, each, kind) for each in expected.values)
    if expected is None:
        return text in {"", "-"}
    if isinstance(expected, bool | str):
        return text in _YES_AND_NO.get(expected, {expected})
    if kind == LAG:
        return text == _LAGS[expected >= _DOUBTFUL_LAG_MS]
    return _says_number(text, expected, kind)


def _says_number(text: str, expected: Any, kind: str) -> bool:
    found = _SHOWN.fullmatch(text)
    if not found or found[2] not in KINDS[kind]:
        return False
    scale = KINDS[kind][found[2]]
    number = found[1].replace(",", "")
    digits = len(number.partition(".")[2])
    return _near(float(number) * scale, expected, _OF_SHOWN_DIGITS * scale * 10**-digits)


def _near(shown: float, expected: Any, rounding: float) -> bool:
    if isinstance(expected, Between):
        return expected.low - rounding <= shown <= expected.high + rounding
    if isinstance(expected, Near):
        return math.isclose(shown, expected.value, rel_tol=_HISTOGRAM, abs_tol=rounding + _HISTOGRAM * expected.value)
    return math.isclose(shown, expected, rel_tol=1e-9, abs_tol=rounding)
