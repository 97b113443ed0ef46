"""InfluxDB is prepared once, proven by use, and repaired when secrets were lost; a double stands for InfluxDB 2.

The double keeps the parts of the HTTP API that the one-shot uses: organisations, buckets, tokens, users of the 1.x
API, writes and queries. InfluxDB 2 itself cannot be had from packages; the workflow `stack` runs the real one.
"""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from loadstone.compose.influx_setup import set_up_influx
from loadstone.errors import PlatformError
from loadstone.settings import InfluxSetupSettings, load
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADMIN = "admin-token"


class InfluxDouble(ThreadingHTTPServer):
    """State of a server that was set up with one organisation and `ADMIN`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.made = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def new_id(self) -> str:
        self.made += 1
        return f"id{self.made}"


class _Handler(BaseHTTPRequestHandler):
    server: InfluxDouble

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        path, question = self._path()
        if path == "/health":
            self._answer(200, {})
        elif path == "/query":
            self._answer(200 if self._reader() else 401, {"results": []})
        elif self._is_admin():
            self._answer(200, self._listed(path, question))

    def do_POST(self) -> None:
        path, _ = self._path()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/v2/write":
            token = self.headers["Authorization"].removeprefix("Token ")
            permissions = self.server.tokens.get(token, {}).get("permissions", [])
            self._answer(204 if any(one["action"] == "write" for one in permissions) else 401, None)
        elif self._is_admin():
            self._answer(201, self._made(path, json.loads(body)))

    def do_PATCH(self) -> None:
        path, _ = self._path()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_admin():
            bucket = next(one for one in self.server.buckets.values() if path.endswith(one["id"]))
            bucket |= body
            self._answer(200, bucket)

    def do_DELETE(self) -> None:
        path, _ = self._path()
        if self._is_admin():
            kept = {token: one for token, one in self.server.tokens.items() if not path.endswith(one["id"])}
            self.server.tokens = kept
            self._answer(204, None)

    def _listed(self, path: str, question: dict[str, str]) -> dict[str, Any]:
        if path == "/api/v2/orgs":
            return {"orgs": [{"id": "o1", "name": question["org"]}]}
        if path == "/api/v2/buckets":
            return {"buckets": [one for name, one in self.server.buckets.items() if name == question["name"]]}
        if path == "/api/v2/authorizations":
            shown = [{key: one[key] for key in ("id", "description")} for one in self.server.tokens.values()]
            return {"authorizations": shown}
        return {"authorizations": [one for name, one in self.server.users.items() if name == question["token"]]}

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/password"):
            user = next(one for one in self.server.users.values() if f"/{one['id']}/" in path)
            user["password"] = body["password"]
            return {}
        made = {**body, "id": self.server.new_id()}
        if path == "/api/v2/buckets":
            self.server.buckets[body["name"]] = made
        elif path == "/api/v2/authorizations":
            made["token"] = f"token-{made['id']}"
            self.server.tokens[made["token"]] = made
        else:
            self.server.users[body["token"]] = made
        return made

    def _reader(self) -> bool:
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(text).decode().partition(":")
        return kind == "Basic" and self.server.users.get(name, {}).get("password") == password

    def _is_admin(self) -> bool:
        if self.headers.get("Authorization") == f"Token {ADMIN}":
            return True
        self._answer(401, {"code": "unauthorized", "message": "unauthorized access"})
        return False

    def _path(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}

    def _answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def influx() -> Iterator[InfluxDouble]:
    with serving(InfluxDouble()) as server:
        yield server


@pytest.fixture
def settings(influx: InfluxDouble, tmp_path: Path) -> InfluxSetupSettings:
    (tmp_path / "admin").write_text(ADMIN)
    (tmp_path / "password").write_text("reader-password")
    named = {
        "URL": influx.url,
        "TOKEN_FILE": tmp_path / "token",
        "ADMIN_TOKEN_FILE": tmp_path / "admin",
        "READER_PASSWORD_FILE": tmp_path / "password",
        "RETENTION": "30d",
    }
    return load(InfluxSetupSettings, environ={f"LOADSTONE_INFLUX_{name}": str(value) for name, value in named.items()})


def test_bucket_token_and_reader_are_made_and_proven(
    influx: InfluxDouble, settings: InfluxSetupSettings, tmp_path: Path
):
    told = set_up_influx(settings)
    assert len(told) == 3
    assert influx.buckets["loadstone"]["retentionRules"] == [{"type": "expire", "everySeconds": 30 * 86_400}]
    (token,) = influx.tokens
    assert (tmp_path / "token").read_text() == token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o400
    assert [one["action"] for one in influx.tokens[token]["permissions"]] == ["write"]
    assert [one["action"] for one in influx.users["grafana"]["permissions"]] == ["read"]
    assert influx.users["grafana"]["password"] == "reader-password"


def test_a_second_time_changes_nothing(influx: InfluxDouble, settings: InfluxSetupSettings):
    set_up_influx(settings)
    made = influx.made
    assert set_up_influx(settings) == []
    assert influx.made == made


def test_a_token_that_was_lost_or_revoked_is_made_anew_and_the_old_one_removed(
    influx: InfluxDouble, settings: InfluxSetupSettings, tmp_path: Path
):
    set_up_influx(settings)
    (old,) = influx.tokens
    (tmp_path / "token").unlink()
    assert set_up_influx(settings) == ["made the collector's token, which may only write"]
    (new,) = influx.tokens
    assert new != old
    influx.tokens.clear()
    set_up_influx(settings)
    assert (tmp_path / "token").read_text() in influx.tokens


def test_another_retention_and_another_password_are_taken_over(
    influx: InfluxDouble, settings: InfluxSetupSettings, tmp_path: Path
):
    set_up_influx(settings)
    (tmp_path / "password").write_text("another-password")
    influx.buckets["loadstone"]["retentionRules"] = []
    told = set_up_influx(settings)
    assert told[0] == "changed the retention of bucket loadstone from 0 s to 2592000 s"
    assert influx.users["grafana"]["password"] == "another-password"


def test_a_volume_that_was_set_up_with_other_secrets_is_said_with_the_cure(
    settings: InfluxSetupSettings, tmp_path: Path
):
    (tmp_path / "admin").write_text("token of another volume")
    with pytest.raises(PlatformError, match="set up with other secrets") as told:
        set_up_influx(settings)
    assert "loadstone influx backfill" in str(told.value)
