"""Start: waits until fresh replicas are ready, or tells what became of those that do not get that far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from loadstone.rig.replica import kills_since, last_words, strain_of
from loadstone.rig.rig import BrokeAtStart, StartFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadstone.rig.docker import Docker
    from loadstone.rig.replica import Replica

__all__ = ["Start"]

_LOOK_EVERY_S: Final = 0.5
_STEADY_S: Final = 3.0
"""How long replicas without a health check have to run, as nobody says whether they are ready."""


class Start:
    """The start of replicas, which begins when this is made: ``look`` finds them."""

    def __init__(
        self,
        docker: Docker,
        look: Callable[[], list[Replica]],
        within_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._docker, self._look, self._within_s, self._sleep = docker, look, within_s, sleep
        self._begun_s = time.time()

    def wait(self, count: int, interrupted: Callable[[], bool] = lambda: False) -> list[Replica] | None:
        """So many replicas, all ready; None when it was ``interrupted`` before.

        Raises `BrokeAtStart` when one of them is killed, runs out of memory, or is not ready in time and has reached a
        limit; `StartFailedError` when one ends, or they are not ready in time, for another reason.
        """
        deadline_s = time.monotonic() + self._within_s
        running_since_s: float | None = None
        while not interrupted():
            replicas = self._look()
            self._check_whole(replicas)
            now_s = time.monotonic()
            all_ready = len(replicas) == count and all(each.is_ready for each in replicas)
            running_since_s = (now_s if running_since_s is None else running_since_s) if all_ready else None
            if running_since_s is not None and now_s - running_since_s >= _steady_s(replicas):
                return replicas
            if now_s > deadline_s:
                raise self._too_late(replicas, count)
            self._sleep(_LOOK_EVERY_S)
        return None

    def _check_whole(self, replicas: list[Replica]) -> None:
        for each in replicas:
            if each.broke:
                words = last_words(self._docker, each)
                if each.was_killed:
                    raise BrokeAtStart(each.broke + words)
                if kills := self._kills(replicas):
                    raise BrokeAtStart(f"{each.broke}, {kills}{words}")
                raise StartFailedError(each.broke + words, hint="Its log says why it ended")

    def _too_late(self, replicas: list[Replica], count: int) -> BrokeAtStart | StartFailedError:
        slow = next((each for each in replicas if not each.is_ready), None)
        if slow is None:
            return StartFailedError(f"there are {len(replicas)} replicas after {self._within_s:g} s and not {count}")
        told = f"{slow.name} is not ready after {self._within_s:g} s"
        words = last_words(self._docker, slow)
        if strain := self._kills(replicas) or strain_of(self._docker, replicas):
            return BrokeAtStart(f"{told}: {strain}{words}")
        return StartFailedError(
            f"{told}, although it has reached no limit{words}", hint="Its health check has to succeed without load"
        )

    def _kills(self, replicas: list[Replica]) -> str:
        """Kills inside replicas for want of memory since their start began; empty without one."""
        kills = kills_since(self._docker, replicas, self._begun_s)
        return f"out of memory, {kills} kill{'s' if kills > 1 else ''}" if kills else ""


def _steady_s(replicas: Sequence[Replica]) -> float:
    return _STEADY_S if any(each.health in {"", "none"} for each in replicas) else 0.0
