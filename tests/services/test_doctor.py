"""`loadstone doctor` against what is there, what is not, and what is wrong."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from loadstone.cli.main import main
from loadstone.stream.rules import WORKER
from support.processes import free_port
from support.serving import serving

if TYPE_CHECKING:
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


class _WriteOnly(ThreadingHTTPServer):
    """A double of InfluxDB 2.9.1 with a token that may only write: queries get 200 with an error, or nothing."""

    daemon_threads = True

    def __init__(self, query: tuple[int, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _WriteOnlyHandler)
        self.query = query


class _WriteOnlyHandler(BaseHTTPRequestHandler):
    server: _WriteOnly

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer(*self.server.query)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, b'{"results":[{"statement_id":0}]}'), id="nothing"),
        pytest.param((200, b'{"results":[{"statement_id":0,"error":"not authorized"}]}'), id="200 with an error"),
        pytest.param((401, b'{"code":"unauthorized","message":"unauthorized access"}'), id="401"),
        pytest.param((403, b'{"code":"forbidden","message":"insufficient permissions"}'), id="403"),
    ],
)
def test_a_token_that_may_only_write_is_as_it_should_be(capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes]):
    with serving(_WriteOnly(answer)) as server:
        assert main(["doctor", "--influx-url", f"http://127.0.0.1:{server.server_address[1]}"]) == 0
    said = capsys.readouterr().out
    assert "can write to bucket loadstone, and it cannot read, as it should be" in said
    assert "WRONG" not in said


def test_an_influxdb_that_cannot_answer_a_query_is_wrong(capsys: pytest.CaptureFixture[str]):
    with serving(_WriteOnly((500, b"{}"))) as server:
        assert main(["doctor", "--influx-url", f"http://127.0.0.1:{server.server_address[1]}"]) == 4
    assert "answers HTTP 500 to a query" in capsys.readouterr().out
