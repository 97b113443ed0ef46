"""`loadstone doctor` against what is there, what is not, and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.cli.main import main
from loadstone.stream.rules import WORKER
from support.processes import free_port

if TYPE_CHECKING:
    import pytest

    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer
    from support.redis_server import RedisServer


def test_everything_in_order_is_said_and_is_exit_code_0(
    valkey: RedisServer, influxdb: InfluxServer, counting_server: CountingServer, capsys: pytest.CaptureFixture[str]
):
    options = ["--redis-url", valkey.url, "--influx-url", influxdb.url, "--host", counting_server.url]
    assert main(["doctor", *options]) == 0
    said = capsys.readouterr().out
    assert said.count(" ok ") == 4
    assert "gave it back" in said


def test_what_is_missing_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]):
    nowhere = f"http://127.0.0.1:{free_port()}"
    options = ["--redis-url", f"redis://127.0.0.1:{free_port()}/0", "--influx-url", nowhere, "--host", nowhere]
    assert main(["doctor", *options]) == 4
    said = capsys.readouterr().out
    assert said.count("WRONG") == 4
    assert "Start it, or correct --influx-url" in said


def test_a_redis_that_evicts_is_wrong(valkey: RedisServer, capsys: pytest.CaptureFixture[str]):
    valkey.client().config_set("maxmemory-policy", "allkeys-lru")
    assert main(["doctor", "--redis-url", valkey.url]) == 4
    assert "noeviction" in capsys.readouterr().out


def test_a_worker_is_told_that_its_user_may_only_send(valkey: RedisServer, capsys: pytest.CaptureFixture[str]):
    valkey.client().execute_command("ACL", "SETUSER", "worker", "on", ">secret", *WORKER.split())
    assert main(["doctor", "--redis-url", valkey.url.replace("redis://", "redis://worker:secret@")]) == 0
    said = capsys.readouterr().out
    assert said.count(" ok ") == 2
    assert "this user may only send" in said


def test_a_bucket_that_does_not_exist_is_wrong(influxdb: InfluxServer, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--influx-url", influxdb.url, "--influx-bucket", "absent"]) == 4
    assert "--influx-bucket" in capsys.readouterr().out
