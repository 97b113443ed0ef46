"""A real server with the access rules that are made for it lets each service do what it has to, and nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.compose import secrets
from loadstone.compose.secrets import make_secrets
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE

if TYPE_CHECKING:
    from pathlib import Path

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
    server = start_valkey()
    for line in (root / "redis/users.acl").read_text().splitlines():
        _, name, *rules = line.split()
        if name != "default":  # the test's own way in
            server.client().execute_command("ACL", "SETUSER", name, *rules)
    return server


def client_of(server: RedisServer, root: Path, user: str) -> redis.Redis:
    password = json.loads((root / "store/secrets.json").read_text())[f"redis_{user}"]
    return server.client(user, password)


@pytest.mark.parametrize(("user", "streams"), [("locust", {SAMPLES, EVENTS}), ("usage", {USAGE})])
def test_a_producer_may_add_to_its_streams_and_read_nothing(
    guarded: RedisServer, root: Path, user: str, streams: set[str]
):
    client = client_of(guarded, root, user)
    allowed = set()
    for stream in (SAMPLES, EVENTS, USAGE, "points"):
        try:
            client.xadd(stream, {"b": b"x"})
            allowed.add(stream)
        except redis.exceptions.NoPermissionError:
            continue
    assert allowed == streams
    for words in (["XLEN", SAMPLES], ["XRANGE", SAMPLES, "-", "+"], ["DEL", SAMPLES], ["CONFIG", "GET", "*"]):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)
