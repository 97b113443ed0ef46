"""Which runs are to be backfilled: by whichever writer's turn it is, as soon as it can."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

__all__ = ["WANTED", "forget_backfill", "want_backfill", "wanted_backfills"]

WANTED: Final = "backfill"
"""Redis hash: run to a token that is new with every wish."""

_FORGET: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""


def want_backfill(client: Redis, runs: Iterable[str]) -> None:
    """Ask for a backfill of these runs, one that begins after now."""
    wishes: dict[Any, Any] = dict.fromkeys(runs, str(time.time_ns()))
    if wishes:
        client.hset(WANTED, mapping=wishes)


def wanted_backfills(client: Redis) -> dict[str, str]:
    """The runs that are to be backfilled, each with the token of its newest wish."""
    wanted: Any = client.hgetall(WANTED)
    return {run.decode(): token.decode() for run, token in wanted.items()}


def forget_backfill(client: Redis, run: str, token: str) -> None:
    """A backfill is done; nothing happens when there was another wish meanwhile."""
    client.eval(_FORGET, 1, WANTED, run, token)
