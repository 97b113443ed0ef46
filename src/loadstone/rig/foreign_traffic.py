"""Foreign traffic: requests that reach a target although no run of the study is under way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Received", "check_quiet", "packets_in"]

_WATCH_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.2
PACKETS_PER_S: Final = 10.0
"""What one replica may receive: the stack's balancer, which checks it once a second, sends 3.5 of them (measured)."""


class Received(NamedTuple):
    """Counters of now: requests that a balancer got, None without one, and network packets of each replica by id."""

    requests: int | None
    packets: Mapping[str, int]


class Watched(Protocol):
    """What is watched."""

    def __call__(self) -> Received:
        """The counters now."""


def check_quiet(
    read: Watched,
    interrupted: Callable[[], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> None:
    """Watch for 5 s. Raises `UsageError` when requests arrive; says nothing when it was ``interrupted``.

    Requests that a balancer counted are foreign, all of them. Packets are only when there are more than a balancer's
    health checks take, so fewer than ten requests a second to a service without a balancer of ours are not noticed.
    """
    before, begun_s = read(), monotonic_s()
    while monotonic_s() - begun_s < _WATCH_S:
        if interrupted():
            return
        sleep(_LOOK_EVERY_S)
    foreign = _foreign(before, read(), monotonic_s() - begun_s)
    if foreign:
        raise UsageError(
            f"requests that are not the study's reach the target ({foreign} in {_WATCH_S:g} s)",
            hint="Stop what sends them: figures under such load would not be those of the study's users",
        )


def _foreign(before: Received, now: Received, seconds: float) -> str:
    if before.requests is not None and now.requests is not None and now.requests != before.requests:
        return f"{max(now.requests - before.requests, now.requests * (now.requests < before.requests))}"
    more = {id_: packets - before.packets[id_] for id_, packets in now.packets.items() if id_ in before.packets}
    busiest = max(more.values(), default=0)
    return f"{busiest:,} packets at one replica" if busiest > PACKETS_PER_S * seconds else ""


def packets_in(stats: Mapping[str, Any]) -> int:
    """Packets that a container has received over all its networks, in an answer of the engine; none over loopback."""
    return sum(int(network["rx_packets"]) for network in (stats.get("networks") or {}).values())
