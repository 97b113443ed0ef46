"""Rig: gives a target limits and replicas, fresh ones each time, and reads back which limits hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from loadstone.domain.units import MIB
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from loadstone.launch.target_limits import TargetLimits
    from loadstone.launch.watched import WatchedProject

__all__ = [
    "Applied",
    "BrokeAtStart",
    "LimitsDifferError",
    "Rig",
    "Setting",
    "StartFailedError",
    "limits_text",
    "memory_text",
]

_KIB: Final = 1024
_GIB_IN_MIB: Final = 1024
_QUARTER_GIB: Final = 256
"""MiB: multiples of it are written in GiB."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Limits of one replica, and how many replicas there are."""

    cpu_cores: float
    mem_bytes: int
    replicas: int

    def __str__(self) -> str:
        return limits_text(self.cpu_cores, self.mem_bytes, self.replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What holds now.

    ``read_back``: how it is known, such as "the Docker Engine"; empty if the limits were only told to somebody, and
    nobody could read them. ``identity``: what runs, for run.json, such as its image's digest, model version and mode.
    ``pids``: its processes on this machine, and ``watched``: its containers here, whose usage is sampled while a run
    here goes on. ``host``: the base URL of the target, if the rig knows it. ``start``: how the demo target is started
    under the limits, which only hold then.
    """

    setting: Setting
    read_back: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    pids: tuple[int, ...] = ()
    watched: WatchedProject | None = None
    host: str | None = None
    start: TargetLimits | None = None


class BrokeAtStart(Exception):  # noqa: N818  (not an error of the rig: the target does not hold)
    """The target does not even start with these limits, and they explain why; the text says what became of it."""


class StartFailedError(PlatformError):
    """The target did not start for a reason that its limits do not explain: another start may succeed."""


class LimitsDifferError(UsageError):
    """Other limits hold than were asked for: nothing that is measured would be of the setting that is named."""


class Rig(Protocol):
    """One way to set limits. Nothing is changed before `apply`; `restore` puts back what was there before."""

    @property
    def name(self) -> str:
        """What it sets limits of, such as "service target of the compose project loadstone"."""

    @property
    def service(self) -> str | None:
        """The service under which a run records the target's usage; None where nobody records it."""

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        """Raise `UsageError` if one of these cannot be had here, with ``kept_cores`` left for the generator."""

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        """Raise `UsageError` when somebody else's requests reach the target, as far as that can be seen."""

    def before(self) -> Mapping[str, Any]:
        """What is there now, as JSON, for `restore`. Raises `UsageError` where this rig cannot be used here."""

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """Give the limits to fresh replicas and wait until they are ready.

        Raises `BrokeAtStart`, `StartFailedError`, `LimitsDifferError`, and `PlatformError` when the limits cannot be
        given. Comes back early, with whatever holds, when it was ``interrupted``.
        """

    def restore(self, before: Mapping[str, Any]) -> str:
        """Put back what `before` found; a sentence for the user. Raises `PlatformError` when that fails."""


def limits_text(cpu_cores: float | None, mem_bytes: int | None, replicas: int | None = None) -> str:
    """Limits as people read them, such as "1.5 CPU and 512m x 2 replicas"; None: no limit."""
    cpu = "no limit of CPU" if cpu_cores is None else f"{cpu_cores:g} CPU"
    memory = "no limit of memory" if mem_bytes is None else memory_text(mem_bytes)
    times = "" if replicas is None else f" x {replicas} replica{'s' if replicas > 1 else ''}"
    return f"{cpu} and {memory}{times}"


def memory_text(size_bytes: int) -> str:
    """Exactly these bytes, as people write limits: 512m, 1.5g; 524292k and 536870913b where nothing else is exact."""
    for unit, size in (("m", MIB), ("k", _KIB)):
        count, rest = divmod(size_bytes, size)
        if not rest:
            in_gib = unit == "m" and count >= _GIB_IN_MIB and count % _QUARTER_GIB == 0
            return f"{count / _GIB_IN_MIB:.16g}g" if in_gib else f"{count}{unit}"
    return f"{size_bytes}b"
