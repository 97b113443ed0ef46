"""Access rules of the stack on a real Redis: producers may send and nothing else, and a crash takes nothing away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.compose.secrets import redis_rules
from loadstone.stream.inbox import move_entries, send, send_usage
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE
from loadstone.stream.proof import RunSecrets, open_run
from support.collecting import secret_of
from support.producers import ALLOWED, carried_out

if TYPE_CHECKING:
    from support.starters import StartRedis

PASSWORDS = {f"redis_{user}": user * 3 for user in ("master", "worker", "usage", "collector")}


def test_a_killed_server_still_has_its_transactions(start_redis: StartRedis):
    """Valkey 9 keeps them under any rules."""
    server = start_redis(rules=redis_rules(PASSWORDS))
    with pytest.raises(redis.AuthenticationError):
        server.client().ping()
    collector = server.client("collector", PASSWORDS["redis_collector"])
    collector.pipeline(transaction=True).xadd(SAMPLES, {"b": "1"}).hincrby("ledger", "stored").execute()
    server.kill()
    server.start()
    again = server.client("collector", PASSWORDS["redis_collector"])
    assert (again.xlen(SAMPLES), again.hget("ledger", "stored")) == (1, b"1")


@pytest.mark.parametrize("user", ALLOWED)
@pytest.mark.attack("a producer's commands on Redis", "refused, but for its own few")
def test_a_producer_may_do_nothing_but_its_work(start_redis: StartRedis, user: str):
    server = start_redis(rules=redis_rules(PASSWORDS))
    assert carried_out(server.client(user, PASSWORDS[f"redis_{user}"])) == ALLOWED[user]


def test_what_producers_send_is_moved_once_although_the_server_is_killed(start_redis: StartRedis):
    server = start_redis(rules=redis_rules(PASSWORDS), appendfsync="always")
    users = {
        name.removeprefix("redis_"): server.client(name.removeprefix("redis_"), key) for name, key in PASSWORDS.items()
    }
    open_run(users["master"], secret_of())
    send(users["master"], EVENTS, b"started", secret_of())
    send(users["worker"], SAMPLES, b"batch", secret_of())
    send_usage(users["usage"], b"tick")
    assert move_entries(users["collector"], (EVENTS, SAMPLES, USAGE)) == 3
    server.kill()
    server.start()
    again = server.client("collector", PASSWORDS["redis_collector"])
    assert [again.xlen(stream) for stream in (EVENTS, SAMPLES, USAGE)] == [1, 1, 1]
    assert move_entries(again, (EVENTS, SAMPLES, USAGE)) == 0
    assert RunSecrets(again).of("r") == secret_of()
