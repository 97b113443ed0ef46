"""Access rules of the stack on a real Redis: a crash takes nothing away. (Valkey 9 keeps it under any rules.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.compose.secrets import redis_rules
from loadstone.stream.keys import SAMPLES

if TYPE_CHECKING:
    from support.starters import StartRedis

PASSWORDS = {f"redis_{user}": user * 3 for user in ("locust", "usage", "collector")}


def test_a_killed_server_still_has_its_transactions(start_redis: StartRedis):
    server = start_redis(rules=redis_rules(PASSWORDS))
    with pytest.raises(redis.AuthenticationError):
        server.client().ping()
    collector = server.client("collector", PASSWORDS["redis_collector"])
    collector.pipeline(transaction=True).xadd(SAMPLES, {"b": "1"}).hincrby("ledger", "stored").execute()
    server.kill()
    server.start()
    again = server.client("collector", PASSWORDS["redis_collector"])
    assert (again.xlen(SAMPLES), again.hget("ledger", "stored")) == (1, b"1")
