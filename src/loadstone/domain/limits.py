"""The values that a field of a batch, an event or a usage tick may have, and how large each of them may be.

Whatever is decoded can be applied, closed and reported in bounded memory and time; everything else is refused before it
is journalled. The limits are wide: no sender that works comes near them. Without them an absurd value fails afterwards,
where it is converted (numpy and Parquet hold 64-bit integers, `datetime` ends with the year 9999) or spread out (a row
of the history for each second and name).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from loadstone.errors import FormatError

__all__ = [
    "FURTHER_EXCEPTIONS",
    "LAST_NS",
    "MAX_BYTES",
    "MAX_DURATION_US",
    "MOST_BATCH_BYTES",
    "MOST_COUNT",
    "MOST_EVENT_BYTES",
    "MOST_SECONDS",
    "MOST_USAGE_BYTES",
    "Amount",
    "Bytes",
    "Count",
    "Duration",
    "Figure",
    "Id",
    "Line",
    "Moment",
    "Number",
    "UserCount",
    "Warmup",
    "WorkerIndex",
    "check_size",
]

LAST_NS: Final = 9_214_646_400 * 1_000_000_000 - 1
"""The end of the year 2261; 64 bits hold the nanoseconds of 100 days more."""
MAX_DURATION_US: Final = (1 << 38) - 1
"""Longest duration a rollup holds: 76 hours. Longer ones count as this long."""
MAX_BYTES: Final = 1 << 40
"""Largest response that is counted, 1 TiB, so that sums of a run stay exact. Larger ones count as this large."""
MOST_BATCH_BYTES: Final = 64 * 1024 * 1024
"""As much as a worker holds at all while the stream is away; that would be 1.6 million samples in half a second."""
MOST_EVENT_BYTES: Final = 8 * 1024 * 1024
MOST_USAGE_BYTES: Final = 8 * 1024 * 1024
MOST_SECONDS: Final = 600
"""In how many different seconds the samples of one batch may have ended. A batch is about half a second, or about as
long as its worker was too busy to send it; each second may become a row for each name of the run."""
FURTHER_EXCEPTIONS: Final = ("further exceptions", "")
"""Message and traceback under which exceptions are counted once too many different ones were raised."""
_MOST: Final = 2**53
"""Every integer up to this one is exact in JSON and in float64, and a thousand of them can be added in 64 bits."""
MOST_COUNT: Final = 10**12
"""A worker that sends a million requests a second has counted this many after eleven days."""
_MOST_WORKERS: Final = 2**31 - 1
_LONGEST_WARMUP_S: Final = 90 * 86_400

Moment: TypeAlias = Annotated[int, Meta(ge=0, le=LAST_NS)]
"""Wall clock, ns since 1970, up to the end of the year 2261."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_COUNT)]
"""How many of something; millions of them can be added in 64 bits."""

Number: TypeAlias = Annotated[int, Meta(ge=0, le=_MOST)]
"""A whole number that cannot be negative, and is not added up."""

UserCount: TypeAlias = Annotated[int, Meta(ge=-(10**9), le=10**9)]
"""How many users; a load shape may ask for any number."""

Id: TypeAlias = Annotated[str, Meta(max_length=200)]
"""A word that a program has made."""

Line: TypeAlias = Annotated[str, Meta(max_length=10_000)]
"""A text that a person has written."""

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


def check_size(blob: bytes, most: int, what: str) -> None:
    """Raise `FormatError` for a blob of more than ``most`` bytes."""
    if len(blob) > most:
        raise FormatError(f"not {what}: it has {len(blob):,} bytes, at most {most:,} are read")
