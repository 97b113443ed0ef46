"""Counters of containers, and what is made of them: usage per container and tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from loadstone.domain.event import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Gauges", "Reading", "Source", "SourceError"]

_NS: Final = 1_000_000_000
_PERCENT: Final = 100


class SourceError(Exception):
    """A source of readings does not answer, or not in its own language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One container's counters at ``at_ns``. ``id`` changes when it is made anew, not when it is restarted.

    Totals since its start: CPU seconds, scheduling periods and those in which it was held back, bytes received and
    sent, out-of-memory kills. Limits and memory are as they are now; None where there is no limit or no figure.
    """

    id: str
    service: str
    container: str
    at_ns: int
    cpu_s: float
    mem_bytes: int
    cpu_limit: float | None = None
    mem_limit: int | None = None
    periods: int | None = None
    throttled: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    oom: int = 0


class Source(Protocol):
    """Where readings come from."""

    @property
    def name(self) -> str:
        """What people call it."""

    def read(self) -> Sequence[Reading]:
        """All containers now. Raises `SourceError`."""


class Gauges:
    """Turns readings into usage since the reading before. A container's first reading gives nothing."""

    def __init__(self) -> None:
        self._before: dict[str, Reading] = {}

    def take(self, readings: Iterable[Reading]) -> tuple[Usage, ...]:
        """The usage of every container that was read before; one whose figures are not newer is left out."""
        found = {reading.id: reading for reading in readings}
        before, self._before = self._before, found
        pairs = ((before[id_], now) for id_, now in found.items() if id_ in before)
        return tuple(_usage(old, now) for old, now in pairs if now.at_ns > old.at_ns)


def _usage(old: Reading, now: Reading) -> Usage:
    seconds = (now.at_ns - old.at_ns) / _NS
    return Usage(
        service=now.service,
        container=now.container,
        cpu_cores=round(_increase(old.cpu_s, now.cpu_s) / seconds, 4),
        cpu_limit=now.cpu_limit,
        throttled_pct=_throttled_pct(old, now),
        mem_bytes=now.mem_bytes,
        mem_limit=now.mem_limit,
        rx_bps=_rate(old.rx_bytes, now.rx_bytes, seconds),
        tx_bps=_rate(old.tx_bytes, now.tx_bytes, seconds),
        oom=int(_increase(old.oom, now.oom)),
    )


def _increase(old: float, now: float) -> float:
    """A counter that fell was reset, by a restart; it has counted from zero since."""
    return now - old if now >= old else now


def _throttled_pct(old: Reading, now: Reading) -> float | None:
    if now.periods is None or now.throttled is None:
        return None
    periods = _increase(old.periods or 0, now.periods)
    held_back = _increase(old.throttled or 0, now.throttled)
    return round(min(_PERCENT * held_back / periods, _PERCENT), 1) if periods else 0.0


def _rate(old: int | None, now: int | None, seconds: float) -> float | None:
    return None if now is None else round(_increase(old or 0, now) / seconds, 1)
