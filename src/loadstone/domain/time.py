"""Units of time, moments as text, and the clocks of a program. Wall-clock times are ns since 1970 (UTC) everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MS_PER_S", "NS_PER_MS", "NS_PER_S", "NS_PER_US", "US_PER_MS", "US_PER_S", "Clock", "iso", "parse_iso_ns"]

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
US_PER_MS: Final = 1_000
US_PER_S: Final = 1_000_000
MS_PER_S: Final = 1_000


def iso(at_ns: int) -> str:
    """A moment in ISO 8601, UTC, to the microsecond, such as ``2026-11-23T19:45:01.000000Z``."""
    seconds, rest_ns = divmod(at_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // NS_PER_US)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso_ns(text: str) -> int:
    """The ns since 1970 of a moment that `iso` wrote. Raises `ValueError` if the text is not a moment."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * NS_PER_S + moment.microsecond * NS_PER_US


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks of a program, passed in together so that tests can set them.

    ``now_ns``: wall clock, ns since 1970; it can jump. ``monotonic_s``: seconds since an arbitrary moment, for
    intervals and deadlines; it never goes back.
    """

    now_ns: Callable[[], int]
    monotonic_s: Callable[[], float]
