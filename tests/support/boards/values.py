"""Comparing what InfluxDB returned with what was expected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

__all__ = ["BUCKET_WIDTH", "MAYBE", "Between", "Near", "OneOf", "Rows", "difference", "optional"]

Rows = list[dict[str, Any]]
HISTOGRAM_ERROR: Final = 0.004
BUCKET_WIDTH: Final = 0.008
"""The width of a bucket of the histogram, 1/128 of its value: a bound in ms is only known this exactly."""
EXACT: Final = 1e-9
MAYBE: Final = "may be missing"


@dataclass(frozen=True, slots=True)
class Near:
    """A percentile from a histogram, which is accurate to 0.4 % and a microsecond."""

    value: float


@dataclass(frozen=True, slots=True)
class OneOf:
    """A sampled value: the newest one available at that time, or the one right before it."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A count whose bound lies within a bucket of a histogram."""

    low: float
    high: float


def optional(row: dict[str, Any], certain: bool) -> dict[str, Any]:
    """Mark a row as one that may be missing, unless it is certain: its inputs may not have been known in time."""
    return row if certain else {**row, MAYBE: True}


def difference(expected: Rows, found: Rows) -> str:
    """Describe how the rows found differ from the expected ones, in any order; empty when they agree.

    A row is identified by its time, if one is expected, and by its texts other than messages.
    """
    timed = bool(expected) and "time" in expected[0]
    wanted, got = _by_identity(expected, timed=timed), _by_identity(found, timed=timed)
    missing = {key for key, row in wanted.items() if MAYBE not in row} - got.keys()
    extra = got.keys() - wanted.keys()
    wrong = [
        f"{key}: {column} is {got[key].get(column)!r}, not {value!r}"
        for key in wanted.keys() & got.keys()
        for column, value in wanted[key].items()
        if column != MAYBE and not _same(value, got[key].get(column))
    ]
    unknown = [column for row in found[:1] for column in row if expected and column not in {*expected[0], "time"}]
    told = [
        f"missing {sorted(missing, key=str)[:4]}" if missing else "",
        f"extra {sorted(extra, key=str)[:4]}" if extra else "",
    ]
    told += [*wrong[:4], f"unexpected columns {unknown}" if unknown else ""]
    return "; ".join(filter(None, told))


def _by_identity(rows: Rows, *, timed: bool) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by identity; rows with the same identity are numbered by ascending values."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: str([value for key, value in row.items() if key != "time"])):
        identity = _identity(row, timed=timed)
        number = next(number for number in count() if (*identity, number) not in found)
        found[*identity, number] = row
    return found


def _identity(row: dict[str, Any], *, timed: bool) -> tuple[Any, ...]:
    words = sorted((key, str(value)) for key, value in row.items() if isinstance(value, str) and key not in MESSAGES)
    return (row["time"] if timed else None, *words)


MESSAGES: Final = frozenset({"message", "reason"})


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, OneOf):
        return any(_same(each, found) for each in expected.values)
    if isinstance(expected, Between):
        return found is not None and expected.low <= found <= expected.high
    if expected is None or found is None or isinstance(expected, str | bool) or isinstance(found, str | bool):
        return bool(expected == found)
    if isinstance(expected, Near):
        return math.isclose(expected.value, found, rel_tol=HISTOGRAM_ERROR, abs_tol=0.001)
    return math.isclose(expected, found, rel_tol=EXACT, abs_tol=EXACT)
