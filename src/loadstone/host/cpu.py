"""How busy the CPUs of this machine are, and how long tasks wait for them.

``/proc/stat`` is described in proc_stat(5), ``/proc/pressure/cpu`` in the kernel's Documentation/accounting/psi.rst. In
a container both tell about the whole machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.time import NS_PER_US

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HostCpu", "HostShares"]

_USER, _NICE, _SYSTEM, _IDLE, _IOWAIT, _IRQ, _SOFTIRQ, _STOLEN = range(1, 9)
"""Words of the first line of /proc/stat; those after them, the time of guests, are counted in `_USER` too."""
_WAITING: Final = "some "


@dataclass(frozen=True, slots=True)
class HostShares:
    """Shares of the time since the reading before, in percent; None where the system does not tell.

    Of the time of all CPUs: ``busy_pct`` they worked, ``stolen_pct`` they were given to other virtual machines.
    ``waiting_pct``: share of the time in which some task waited for a CPU.
    """

    busy_pct: float | None = None
    stolen_pct: float | None = None
    waiting_pct: float | None = None


class _Reading(NamedTuple):
    at_ns: int
    ticks: tuple[int, ...] | None
    waited_us: int | None


class HostCpu:
    """Reads them again and again; about 0.1 ms each time."""

    def __init__(self, proc: Path = Path("/proc"), monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._stat = proc / "stat"
        self._pressure = proc / "pressure" / "cpu"
        self._monotonic_ns = monotonic_ns
        self._before = self._now()

    def read(self) -> HostShares:
        """What happened since the last reading, or since this was made."""
        before, self._before = self._before, self._now()
        busy_pct, stolen_pct = _shares(before.ticks, self._before.ticks)
        return HostShares(busy_pct, stolen_pct, _waiting_pct(before, self._before))

    def _now(self) -> _Reading:
        return _Reading(self._monotonic_ns(), _ticks(_first_line(self._stat)), _waited_us(_first_line(self._pressure)))


def _shares(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> tuple[float | None, float | None]:
    if before is None or after is None:
        return None, None
    busy, stolen, total = (now - then for then, now in zip(before, after, strict=True))
    if total <= 0:
        return None, None
    return _percent(busy, total), _percent(stolen, total)


def _waiting_pct(before: _Reading, after: _Reading) -> float | None:
    passed_us = (after.at_ns - before.at_ns) / NS_PER_US
    if before.waited_us is None or after.waited_us is None or passed_us <= 0:
        return None
    return _percent(after.waited_us - before.waited_us, passed_us)


def _percent(part: float, whole: float) -> float:
    return round(min(max(100 * part / whole, 0.0), 100.0), 1)


def _ticks(line: str) -> tuple[int, ...] | None:
    """Busy, stolen and all time of all CPUs since the machine started, in ticks of the kernel."""
    words = line.split()
    if len(words) <= _STOLEN or words[0] != "cpu":
        return None
    counts = [0, *map(int, words[1 : _STOLEN + 1])]
    busy = sum(counts[at] for at in (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ))
    return busy, counts[_STOLEN], busy + counts[_STOLEN] + counts[_IDLE] + counts[_IOWAIT]


def _waited_us(line: str) -> int | None:
    if not line.startswith(_WAITING):
        return None
    total = line.rpartition("total=")[2].strip()
    return int(total) if total.isdecimal() else None


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as lines:
            return lines.readline()
    except OSError:
        return ""
