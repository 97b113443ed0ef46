"""Kills for lack of memory that the Docker Engine does not report.

On a busy machine with control groups of version 1 the engine can miss the kill of a whole container: the group is gone
before it has looked (4 of 60 kills of 12 containers that were killed and restarted at once, Engine 20.10). What it does
report is that the container ended by SIGKILL. The kernel counts all kills of the machine, so a container that ended
that way was killed for lack of memory if nobody asked the engine to end it, the engine reported no such kill, and the
kernel has counted one more than were reported, from about the time of its end on.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.host.oom import machine_oom_kills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["UnreportedKills"]

_SIGKILLED: Final = "137"
"""The exit code of a container whose first process, or what its shell ran, got SIGKILL."""
_EXPLAINED_FOR_S: Final = 2.0
_GRACE_S: Final = 1.0
"""So long the report of a kill is waited for, after the end of its container."""
_BEFORE_S: Final = 3.0
"""The kernel may have counted a kill so long before the end of its container is reported."""
_LATE_FOR_S: Final = 5.0
"""A report that comes even later must not count a second time."""


class _Ended(NamedTuple):
    """A container, by its id and by the name under which it is recorded, and when its end was heard of or counted."""

    container: str
    name: tuple[str, str]
    at_s: float


class _Excess(NamedTuple):
    """How many kills the kernel had counted beyond those that were reported, and how many of these were found."""

    kills: int
    found: int
    at_s: float


class UnreportedKills:
    """Hears what the engine reports of containers, by id, and finds those that were killed without a report.

    ``counted``: kills of the whole machine, as `machine_oom_kills` gives them. ``now_s``: a clock that does not jump.
    """

    def __init__(
        self,
        counted: Callable[[], int | None] = machine_oom_kills,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted, self._now_s = counted, now_s
        self._explained: dict[str, float] = {}
        """When a kill of a container was reported, or asked for: its next end needs no other explanation."""
        self._ends: deque[_Ended] = deque()
        self._counted_ends: deque[_Ended] = deque()
        self._reported = self._found = 0
        self._excess = deque([_Excess(counted() or 0, 0, now_s())])

    def killed(self, container: str) -> bool:
        """A kill for lack of memory is reported; whether it is a new one, and not one that was found already."""
        self._reported += 1
        if _take(self._counted_ends, container):
            self._found -= 1
            return False
        if not _take(self._ends, container):
            self._explained[container] = self._now_s()
        return True

    def asked(self, container: str) -> None:
        """The engine was asked to send a signal to a container."""
        self._explained[container] = self._now_s()

    def ended(self, container: str, name: tuple[str, str], exit_code: str) -> None:
        """A container ended; ``exit_code`` as the engine writes it."""
        if self._explained.pop(container, None) is None and exit_code == _SIGKILLED:
            self._ends.append(_Ended(container, name, self._now_s()))

    def take(self) -> Iterator[tuple[str, str]]:
        """Names of containers whose kills were not given before, once for each. Call it about once a second."""
        counted, now_s = self._counted(), self._now_s()
        self._forget(now_s)
        if counted is None:
            self._ends.clear()
            return
        self._excess.append(_Excess(counted - self._reported, self._found, now_s))
        while self._ends and self._ends[0].at_s <= now_s - _GRACE_S:
            ended = self._ends.popleft()
            if self._finds(ended):
                self._counted_ends.append(ended)
                yield ended.name

    def _finds(self, ended: _Ended) -> bool:
        """Whether the kernel has counted one more all the time since, and not only while a report was on its way."""
        before = min(each.kills - each.found for each in self._excess if each.at_s <= ended.at_s)
        since = min(each.kills for each in self._excess if each.at_s > ended.at_s)
        if since - self._found <= before:
            return False
        self._found += 1
        # Those that had this kill in them already explain no other one with it.
        self._excess = deque(
            each._replace(found=each.found + 1) if each.kills - each.found > before else each for each in self._excess
        )
        return True

    def _forget(self, now_s: float) -> None:
        self._explained = {
            container: at_s for container, at_s in self._explained.items() if now_s - at_s <= _EXPLAINED_FOR_S
        }
        while self._counted_ends and self._counted_ends[0].at_s < now_s - _LATE_FOR_S:
            self._counted_ends.popleft()
        oldest_s = min((each.at_s for each in self._ends), default=now_s) - _BEFORE_S
        while len(self._excess) > 1 and self._excess[1].at_s <= oldest_s:
            self._excess.popleft()


def _take(ends: deque[_Ended], container: str) -> bool:
    """Remove the oldest end of a container; whether there was one."""
    found = next((each for each in ends if each.container == container), None)
    if found:
        ends.remove(found)
    return found is not None
