"""Grid: the settings that a study may try, in steps, and what each of them costs."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.units import GIB
from loadstone.errors import UsageError
from loadstone.rig.rig import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.capacity.study_record import SettingQuestion

__all__ = ["Grid", "Point", "Prices", "grid_of"]

_ALMOST: Final = 1e-9
"""Steps are decimal fractions: a value this little above one, relatively, is that step."""


class Point(NamedTuple):
    """A setting as its position on the axes of a grid: indexes of CPU, memory and replicas."""

    cpu: int
    mem: int
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What an hour costs, in any currency: one core, one GiB of memory, and a replica in itself."""

    cpu_core: float
    mem_gib: float
    replica: float = 0.0

    def of(self, setting: Setting) -> float:
        """What an hour of all replicas of a setting costs."""
        one = self.cpu_core * setting.cpu_cores + self.mem_gib * setting.mem_bytes / GIB + self.replica
        return one * setting.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Three axes of steps, each increasing: cores and bytes of one replica, and numbers of replicas.

    Raises `UsageError` for an axis that is empty, not positive or not increasing.
    """

    cpu_cores: tuple[float, ...]
    mem_bytes: tuple[int, ...]
    replicas: tuple[int, ...]
    prices: Prices

    def __post_init__(self) -> None:
        for name in ("cpu_cores", "mem_bytes", "replicas"):
            _check_axis(name, getattr(self, name))

    @property
    def top(self) -> Point:
        """The largest setting."""
        return Point(len(self.cpu_cores) - 1, len(self.mem_bytes) - 1, len(self.replicas) - 1)

    def extremes(self) -> tuple[Setting, Setting]:
        """The smallest and the largest: what is true of a limit of both is true of all."""
        return self.setting(Point(0, 0, 0)), self.setting(self.top)

    def setting(self, point: Point) -> Setting:
        """The limits that a point stands for."""
        return Setting(self.cpu_cores[point.cpu], self.mem_bytes[point.mem], self.replicas[point.replicas])

    def cost(self, point: Point) -> float:
        """What an hour of all its replicas costs."""
        return self.prices.of(self.setting(point))

    def cpu_for(self, cores: float) -> int | None:
        """The smallest step with at least so many cores; None beyond the last."""
        return _step_for(self.cpu_cores, cores)

    def mem_for(self, size_bytes: float) -> int | None:
        """The smallest step with at least so much memory; None beyond the last."""
        return _step_for(self.mem_bytes, size_bytes)


def grid_of(question: SettingQuestion) -> Grid:
    """The settings that a study may try. Raises `UsageError`."""
    return Grid(
        cpu_cores=question.cpu_cores,
        mem_bytes=question.mem_bytes,
        replicas=question.replicas,
        prices=Prices(cpu_core=question.price_cpu, mem_gib=question.price_memory, replica=question.price_replica),
    )


def _step_for(axis: Sequence[float], value: float) -> int | None:
    index = bisect_left(axis, value * (1 - _ALMOST))
    return index if index < len(axis) else None


def _check_axis(name: str, axis: tuple[float, ...]) -> None:
    if not axis or axis[0] <= 0 or any(later <= earlier for earlier, later in pairwise(axis)):
        raise UsageError(
            f"{name} of a study must be positive and increasing, not {', '.join(map(str, axis)) or 'empty'}",
            hint="Name a range such as 0.25..3, its lower end first",
        )
