"""A real Valkey with the access rules of the stack lets each producer do what it has to, and nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from loadstone.compose import secrets
from loadstone.compose.secrets import make_secrets
from loadstone.stream.client import clock_offset_ms
from loadstone.stream.inbox import move_entries, send, send_usage
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE, run_secret
from loadstone.stream.proof import RunSecrets, open_run
from support.collecting import secret_of
from support.producers import ALLOWED, carried_out

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from support.redis_server import RedisServer
    from support.starters import StartRedis


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The volumes with their secrets; owners stay as they are, because only root may change them."""
    monkeypatch.setattr(os, "chown", lambda *_: None)
    for volume in {file.volume for file in secrets._FILES} | {"store"}:
        (tmp_path / volume).mkdir()
    make_secrets(tmp_path, 1, 1)
    return tmp_path


@pytest.fixture
def guarded(root: Path, start_valkey: StartRedis) -> RedisServer:
    """A real server with the access rules of the stack."""
    return start_valkey(rules=(root / "redis/users.acl").read_text())


def client_of(server: RedisServer, root: Path, user: str) -> redis.Redis:
    password = json.loads((root / "store/secrets.json").read_text())[f"redis_{user}"]
    return server.client(user, password)


@pytest.mark.parametrize("user", ALLOWED)
@pytest.mark.attack("a producer's commands on Valkey", "refused, but for its own few")
def test_a_producer_may_do_nothing_but_its_work(guarded: RedisServer, root: Path, user: str):
    assert carried_out(client_of(guarded, root, user)) == ALLOWED[user]


def test_each_may_do_its_work(guarded: RedisServer, root: Path):
    users = {user: client_of(guarded, root, user) for user in ("master", "worker", "usage", "collector")}
    open_run(users["master"], secret_of())
    send(users["master"], EVENTS, b"started", secret_of())
    send(users["worker"], SAMPLES, b"batch", secret_of())
    send(users["worker"], EVENTS, b"exception", secret_of())
    send_usage(users["usage"], b"tick")
    assert abs(clock_offset_ms(users["worker"])) < 60_000
    assert move_entries(users["collector"], (EVENTS, SAMPLES, USAGE)) == 4
    assert RunSecrets(users["collector"]).of("r") == secret_of()
    RunSecrets(users["collector"]).expire("r")


def test_a_second_master_cannot_replace_the_secret_of_a_run(guarded: RedisServer, root: Path):
    master, collector = (client_of(guarded, root, user) for user in ("master", "collector"))
    open_run(master, secret_of())
    master.setnx(run_secret("r"), b"mine")
    assert RunSecrets(collector).of("r") == secret_of()
