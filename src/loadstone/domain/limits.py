"""The values that a field of a batch, an event or a usage tick may have, so that whatever is decoded can be applied.

They are wide: no sender that works comes near them. Without them an absurd value is accepted and journalled, and fails
afterwards, where it is converted: numpy and Parquet hold 64-bit integers, `datetime` ends with the year 9999.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

__all__ = [
    "FURTHER_EXCEPTIONS",
    "LAST_NS",
    "MAX_DURATION_US",
    "Amount",
    "Bytes",
    "Count",
    "Duration",
    "Figure",
    "Moment",
    "Warmup",
    "WorkerIndex",
]

LAST_NS: Final = 9_214_646_400 * 1_000_000_000 - 1
"""The end of the year 2261; 64 bits hold the nanoseconds of 100 days more."""
MAX_DURATION_US: Final = (1 << 38) - 1
"""Longest duration a rollup holds: 76 hours. Longer ones count as this long."""
FURTHER_EXCEPTIONS: Final = ("further exceptions", "")
"""Message and traceback under which exceptions are counted once too many different ones were raised."""
_MOST: Final = 2**53
"""Every integer up to this one is exact in JSON and in float64, and a thousand of them can be added in 64 bits."""
_MOST_WORKERS: Final = 2**31 - 1
_LONGEST_WARMUP_S: Final = 90 * 86_400

Moment: TypeAlias = Annotated[int, Meta(ge=0, le=LAST_NS)]
"""Wall clock, ns since 1970, up to the end of the year 2261."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=_MOST)]
"""How many, or how much, of something that cannot be negative."""

Duration: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_DURATION_US)]
"""Microseconds, so few that 64 bits hold the end of a duration that begins at any moment."""

Amount: TypeAlias = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
"""A whole number that may be negative."""

Figure: TypeAlias = Annotated[float, Meta(ge=-1e15, le=1e15)]
"""A finite number."""

Bytes: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Memory and its limit as the kernel gives them: "no limit" may be nearly 2**63."""

WorkerIndex: TypeAlias = Annotated[int, Meta(ge=-1, le=_MOST_WORKERS)]
"""Locust's index of a worker, -1 before it has one."""

Warmup: TypeAlias = Annotated[float, Meta(ge=0, le=_LONGEST_WARMUP_S)]
"""A warm-up, seconds: at most 90 days, so that a window opens at a time that 64 bits hold."""
