"""Parsers of what a study may try: cores, memory and replicas, as a range with steps or as a list."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cores", "memory", "replicas", "size_bytes"]

_RANGE: Final = re.compile(r"(?P<low>[^./]*(?:\.[^./]+)?)\.\.(?P<high>[^/]+?)(?:/(?P<step>[^/]+))?")
_MOST_STEPS: Final = 200
_LEAST_CORES: Final = Decimal("0.01")
"""Docker and the kernel take no less."""
_MOST_CORES: Final = 1024
_MOST_REPLICAS: Final = 1000
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_LEAST_BYTES: Final = 6 * 1024**2
"""Docker refuses less."""
_CORES: Final = "cores such as 0.25..3, 0.25..3/0.5 (in steps of 0.5) or 0.5,1,2"
_MEMORY: Final = "memory such as 256m..6g, 1g..6g/512m (in steps of 512m) or 512m,1g,2g"
_REPLICAS: Final = "replicas such as 1..4 or 1,2,4"


class _OutOfBoundsError(ValueError):
    """What could be read, but is too little or too much; the text says what is allowed."""


def cores(value: str) -> tuple[float, ...]:
    """Cores of one replica, increasing; a range goes in steps of its lower end unless a step is given."""
    return tuple(float(each) for each in _axis(value, _one_of_cores, _CORES))


def memory(value: str) -> tuple[int, ...]:
    """Bytes of one replica, increasing; a range goes in steps of its lower end unless a step is given."""
    return tuple(int(each) for each in _axis(value, _bytes, _MEMORY))


def replicas(value: str) -> tuple[int, ...]:
    """Numbers of replicas, increasing; a range goes in steps of one unless a step is given."""
    return tuple(int(each) for each in _axis(value, _whole, _REPLICAS, step=Decimal(1)))


def size_bytes(value: str) -> int:
    """A size such as 512m or 1.5g, in bytes; units are powers of 1024 as Docker's are."""
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ValueError("a size such as 512m or 1.5g")
    return int(Decimal(found[1]) * _UNITS[found[2].lower()])


def _axis(value: str, read: Callable[[str], Decimal], allowed: str, step: Decimal | None = None) -> tuple[Decimal, ...]:
    compact = re.sub(r"\s", "", value)
    try:
        found = _RANGE.fullmatch(compact)
        if found is None:
            steps = tuple(read(word) for word in compact.split(","))
        else:
            wanted = read(found["step"]) if found["step"] else step
            steps = _range(read(found["low"]), read(found["high"]), wanted)
    except _OutOfBoundsError as error:
        raise ValueError(f"{allowed}, {error}") from None
    except (ValueError, ArithmeticError):
        raise ValueError(allowed) from None
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"{allowed}, the smallest first")
    return steps


def _range(low: Decimal, high: Decimal, step: Decimal | None) -> tuple[Decimal, ...]:
    """From low to high, which is the last whatever the step; two values in the wrong order as they are."""
    step = step or low
    if high <= low:
        return (low,) if high == low else (low, high)
    if step <= 0:
        raise ValueError
    if (count := ceil((high - low) / step)) > _MOST_STEPS:
        raise _OutOfBoundsError(
            f"at most {_MOST_STEPS + 1} steps, and these are {count + 1:,}: give a larger one behind a slash"
        )
    steps = [low]
    while steps[-1] + step < high:
        steps.append(steps[-1] + step)
    return (*steps, high)


def _one_of_cores(text: str) -> Decimal:
    found = Decimal(text)
    if found < _LEAST_CORES:
        raise _OutOfBoundsError(f"at least {_LEAST_CORES} cores")
    if found > _MOST_CORES:
        raise _OutOfBoundsError(f"at most {_MOST_CORES:,} cores")
    return found


def _bytes(text: str) -> Decimal:
    found = size_bytes(text)
    if found < _LEAST_BYTES:
        raise _OutOfBoundsError("at least 6m of memory")
    return Decimal(found)


def _whole(text: str) -> Decimal:
    if not re.fullmatch(r"\d+", text):
        raise ValueError
    if not int(text):
        raise _OutOfBoundsError("at least 1 replica")
    if int(text) > _MOST_REPLICAS:
        raise _OutOfBoundsError(f"at most {_MOST_REPLICAS:,} replicas")
    return Decimal(text)
