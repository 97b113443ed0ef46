"""Kills for lack of memory that the Docker Engine does not tell.

On a busy machine with control groups of version 1 the engine can miss the kill of a whole container: the group is gone
before it has looked (4 of 60 kills of 12 containers that were killed and restarted at once, Engine 20.10). What it does
tell is that the container ended by SIGKILL. The kernel counts all kills of the machine, so a container that ended that
way was killed for lack of memory if nobody asked the engine to end it, the engine told no such kill, and the kernel
counted one more than it told.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.domain.time import NS_PER_S
from loadstone.host.oom import machine_oom_kills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SIGKILLED", "UntoldKills"]

SIGKILLED: Final = "137"
"""The engine's text for the exit code of a container whose first process, or what its shell ran, got SIGKILL."""
_EXPLAINED_FOR_NS: Final = 5 * NS_PER_S
_GRACE_S: Final = 1.0
"""A kill can be told after the end of its container: so long it is waited for."""
_BEFORE_S: Final = 3.0
"""An end is told a moment after the kernel has counted its kill."""


class _Death(NamedTuple):
    container: str
    at_s: float


class _Balance(NamedTuple):
    kills: int
    at_s: float


class UntoldKills:
    """Takes what the engine tells of containers, by id, and gives those that were killed without its telling so.

    ``counted``: kills of the whole machine, as `machine_oom_kills` gives them. ``now_s``: a clock that does not jump.
    """

    def __init__(
        self,
        counted: Callable[[], int | None] = machine_oom_kills,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted, self._now_s = counted, now_s
        self._explained: dict[str, int] = {}
        """When the engine told a kill of a container, or was asked for one (ns since 1970)."""
        self._deaths: deque[_Death] = deque()
        self._told = 0
        self._balances = deque([_Balance(counted() or 0, now_s())])
        """How many more kills the kernel counted than are known here, lately."""

    def killed(self, container: str, at_ns: int) -> None:
        """The engine tells a kill for lack of memory."""
        self._told += 1
        late = next((death for death in self._deaths if death.container == container), None)
        if late:
            self._deaths.remove(late)
        else:
            self._explained[container] = at_ns

    def asked(self, container: str, at_ns: int) -> None:
        """The engine was asked to send a signal to a container."""
        self._explained[container] = at_ns

    def ended(self, container: str, at_ns: int) -> None:
        """A container ended by SIGKILL."""
        explained_ns = self._explained.pop(container, None)
        if explained_ns is None or at_ns - explained_ns > _EXPLAINED_FOR_NS:
            self._deaths.append(_Death(container, self._now_s()))

    def take(self) -> Iterator[str]:
        """Containers that were killed for lack of memory and have not been given before, once for each kill."""
        counted = self._counted()
        if counted is None:
            self._deaths.clear()
            return
        now_s = self._now_s()
        while len(self._balances) > 1 and self._balances[1].at_s < now_s - _BEFORE_S:
            self._balances.popleft()
        usual = min(each.kills for each in self._balances)
        while self._deaths and self._deaths[0].at_s <= now_s - _GRACE_S:
            death = self._deaths.popleft()
            if counted - self._told > usual:
                self._told += 1
                yield death.container
        self._balances.append(_Balance(counted - self._told, now_s))
