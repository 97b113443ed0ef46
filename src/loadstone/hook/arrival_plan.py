"""What master and workers tell each other about arrivals, as messages of Locust's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from loadstone.domain.arrival_rate import parse_stages
from loadstone.domain.arrivals import Epoch, Schedule, Spread
from loadstone.domain.time import NS_PER_MS

if TYPE_CHECKING:
    from locust.rpc.protocol import Message

__all__ = ["ANSWER", "PLAN", "ArrivalAnswer", "ArrivalPlan", "ahead_ns"]

PLAN: Final = "loadstone_arrivals"
"""From the master, several times a second: the plan as a whole, so that none of these messages matters by itself."""
ANSWER: Final = "loadstone_arrivals_answer"
"""From a worker, for each of them."""
_NOISE_NS: Final = 5 * NS_PER_MS


def ahead_ns(offset_ms: float | None) -> int:
    """How far a clock is ahead of the stream server's; 0 where that is unknown, or no more than measuring it errs."""
    offset_ns = int((offset_ms or 0.0) * NS_PER_MS)
    return offset_ns if abs(offset_ns) > _NOISE_NS else 0


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a message of Locust's carries; ``run`` is the id of the run that it is of."""

    run: str

    def data(self) -> dict[str, Any]:
        """As Locust sends it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def of(cls, message: Message) -> Self:
        """What was sent."""
        return msgspec.convert(message.data, cls)


class ArrivalPlan(_Told, frozen=True, kw_only=True):
    """The schedule, and the epoch that holds now or soon. ``rate``: its stages, as people write them.

    ``zero_ns``: when the schedule begins, wall clock of the stream server. ``roster``: the workers' ids in Locust.
    ``until_s``: nothing that is due later may begin. ``ends_s``: when users are stopped, once that is known. Without an
    epoch (``zero_ns`` None) only an answer is wanted.
    """

    rate: tuple[str, ...]
    spread: Spread
    seed: int
    zero_ns: int | None = None
    epoch: int = 0
    begins_s: float = 0.0
    until_s: float = 0.0
    ends_s: float | None = None
    roster: tuple[str, ...] = ()

    def schedule(self) -> Schedule:
        """The arrivals of the run."""
        return Schedule(parse_stages(self.rate), self.spread, self.seed)

    def share(self) -> Epoch:
        """The epoch."""
        return Epoch(self.epoch, self.begins_s, len(self.roster))


class ArrivalAnswer(_Told, frozen=True, kw_only=True):
    """How many users a worker has, and how many of them have waited for an arrival."""

    users: int
    settled: int
