"""InfluxDB is prepared once, proven by use, and repaired when secrets were lost; a double stands for InfluxDB 2.

The double keeps the parts of the HTTP API that the one-shot uses: organisations, buckets, tokens, users of the 1.x
API, mappings of databases, writes and queries. It answers as a real 2.9.1 did: a query without the right is 200 with an
error or with nothing, a retention shorter than the shard groups is 422, one below an hour is 500, and rights are for
the id of a bucket. Mappings are those of https://docs.influxdata.com/influxdb/v2/query-data/influxql/dbrp/, answered as
dbrp/http_server_dbrp.go and dbrp/service.go of influxdata/influxdb (branch main-2.x) answer: every call names the
organisation, each bucket has a virtual mapping with its own id beside the explicit ones, and removing a mapping that is
not there is no error. InfluxDB 2 itself cannot be had from packages; the workflow `stack` runs the real one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from loadstone.compose.influx_setup import set_up_influx
from loadstone.errors import PlatformError
from loadstone.settings import InfluxSetupSettings, load
from loadstone.settings.parse import retention_s
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADMIN = "admin-token"
ORG = "00000000000000aa"


class InfluxDouble(ThreadingHTTPServer):
    """State of a server that was set up with one organisation and `ADMIN`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.mappings: list[dict[str, Any]] = []
        self.points: set[str] = set()
        self.answers_nothing = False
        self.lets_read = True
        self.removed: list[str] = []
        self.made = 0

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket and its points; tokens and users stay, with rights for its id."""
        self.points.discard(self.buckets.pop(name)["id"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def new_id(self) -> str:
        self.made += 1
        return f"{self.made:016x}"

    def mapping(self, bucket: str, **other: Any) -> dict[str, Any]:
        """A mapping of the database "loadstone", or of another one; explicit, with an id of its own."""
        made = {"orgID": ORG, "bucketID": bucket, "database": "loadstone", "retention_policy": "autogen"}
        return {**made, "default": True, **({} if "id" in other else {"id": self.new_id()}), **other}

    def all_mappings(self) -> list[dict[str, Any]]:
        """The explicit ones, then one for each bucket, which is the default unless an explicit one leads there."""
        found, taken = [*self.mappings], {one["bucketID"] for one in self.mappings}
        for name, one in self.buckets.items():
            database, _, policy = name.partition("/")
            names = {"id": one["id"], "database": database, "retention_policy": policy or "autogen", "virtual": True}
            found.append(self.mapping(one["id"], **names, default=one["id"] not in taken))
        return found


class _Handler(BaseHTTPRequestHandler):
    server: InfluxDouble

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        path, question = self._path()
        if path == "/health":
            self._answer(200, {})
        elif path == "/query":
            self._answer(*self._queried(question["db"]))
        elif self._is_admin() and self._names_org(path, question):
            self._answer(200, self._listed(path, question))

    def do_POST(self) -> None:
        path, _ = self._path()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/v2/write":
            token = self.headers["Authorization"].removeprefix("Token ")
            bucket = self.server.buckets.get(parse_qs(urlsplit(self.path).query)["bucket"][0], {}).get("id")
            may = self._may(self.server.tokens.get(token, {}), "write", bucket)
            self.server.points |= {bucket} if may else set()
            self._answer(204 if may else 401, None)
        elif self._is_admin():
            self._answer(201, self._made(path, json.loads(body)))

    def do_PATCH(self) -> None:
        path, _ = self._path()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_admin():
            bucket = next(one for one in self.server.buckets.values() if path.endswith(one["id"]))
            self._answer(*self._changed(bucket, body["retentionRules"][0]))

    def do_DELETE(self) -> None:
        path, question = self._path()
        if self._is_admin() and self._names_org(path, question):
            for made in (self.server.tokens, self.server.users):
                for name in [name for name, one in made.items() if path.endswith(one["id"])]:
                    del made[name]
            self.server.mappings = [one for one in self.server.mappings if not path.endswith(one["id"])]
            self.server.removed.append(path)
            self._answer(204, None)

    def _names_org(self, path: str, question: dict[str, str]) -> bool:
        """Whether a call that concerns mappings names their organisation; if not, it is answered."""
        named = not path.startswith("/api/v2/dbrps") or question.get("orgID") == ORG
        if not named:
            self._answer(400, {"code": "invalid", "message": "Please provide either orgID or org"})
        return named

    def _changed(self, bucket: dict[str, Any], rule: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Change the retention of a bucket, whose shard groups stay as long as they are unless the rule says other."""
        every, groups = rule["everySeconds"], rule.get("shardGroupDurationSeconds", bucket.get("groups", 168 * 3600))
        if every and every < 3600:
            return 500, {"code": "internal error", "message": "retention policy duration must be at least 1h0m0s"}
        if every and groups > every:
            return 422, {"code": "unprocessable entity", "message": "shard-group duration must also be updated"}
        bucket |= {"retentionRules": [rule], "groups": groups}
        return 200, bucket

    def _queried(self, database: str) -> tuple[int, dict[str, Any]]:
        """Answer InfluxQL for the bucket that the default mapping of a database leads to."""
        user = self._user()
        if user is None:
            return 401, {"code": "unauthorized", "message": "Unauthorized"}
        mapped = [one for one in self.server.all_mappings() if one["database"] == database and one["default"]]
        bucket = mapped[0]["bucketID"] if mapped else None
        if bucket is None or not (self.server.lets_read and self._may(user, "read", bucket)):
            refusal = {"results": [{"statement_id": 0, "error": "not authorized"}]}
            return 200, {"results": [{"statement_id": 0}]} if self.server.answers_nothing else refusal
        series = {"name": "stack_check", "columns": ["time", "last"], "values": [["2026-11-27T05:00:00Z", 1]]}
        return 200, {"results": [{"statement_id": 0, **({"series": [series]} if bucket in self.server.points else {})}]}

    @staticmethod
    def _may(owner: dict[str, Any], action: str, bucket: str | None) -> bool:
        rights = [(one["action"], one["resource"]["id"]) for one in owner.get("permissions", [])]
        return (action, bucket) in rights

    def _listed(self, path: str, question: dict[str, str]) -> dict[str, Any]:
        if path == "/api/v2/orgs":
            return {"orgs": [{"id": ORG, "name": question["org"]}]}
        if path == "/api/v2/buckets":
            return {"buckets": [one for name, one in self.server.buckets.items() if name == question["name"]]}
        if path == "/api/v2/dbrps":
            return {"content": [one for one in self.server.all_mappings() if one["database"] == question["db"]]}
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

    def _user(self) -> dict[str, Any] | None:
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(text).decode().partition(":")
        user = self.server.users.get(name)
        return user if user and kind == "Basic" and user.get("password") == password else None

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
    (rule,) = influx.buckets["loadstone"]["retentionRules"]
    assert rule == {"type": "expire", "everySeconds": 30 * 86_400, "shardGroupDurationSeconds": 0}
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


@pytest.mark.parametrize("kept", ["72h", "1h", "6d", "0", "52w"])
def test_a_bucket_of_the_image_with_long_shard_groups_takes_any_retention(
    influx: InfluxDouble, settings: InfluxSetupSettings, kept: str
):
    set_up_influx(settings)
    influx.buckets["loadstone"] |= {"retentionRules": [{"type": "expire", "everySeconds": 7}], "groups": 168 * 3600}
    seconds = retention_s(kept)
    told = set_up_influx(replace(settings, influx_retention=seconds))
    assert told == [f"changed the retention of bucket loadstone from 7 s to {seconds:.0f} s"]


@pytest.mark.attack("InfluxDB's bucket deleted", "made again with a token that writes and a user that reads it")
@pytest.mark.parametrize("answers_nothing", [True, False], ids=["nothing", "an error"])
def test_a_bucket_that_was_deleted_and_made_again_gets_its_writer_and_its_reader(
    influx: InfluxDouble, settings: InfluxSetupSettings, *, answers_nothing: bool
):
    influx.answers_nothing = answers_nothing
    set_up_influx(settings)
    old = influx.buckets["loadstone"]["id"]
    influx.delete_bucket("loadstone")
    assert [line.partition(" loadstone")[0].partition(",")[0] for line in set_up_influx(settings)] == [
        "made bucket",
        "made the collector's token",
        "made the user grafana",
    ]
    new = influx.buckets["loadstone"]["id"]
    assert new != old
    assert [one["resource"]["id"] for one in influx.users["grafana"]["permissions"]] == [new]
    assert set_up_influx(settings) == []


def test_a_mapping_to_a_deleted_bucket_is_removed_and_others_stay(influx: InfluxDouble, settings: InfluxSetupSettings):
    set_up_influx(settings)
    others = influx.mapping("x", database="other")
    influx.mappings = [influx.mapping("gone"), others]
    assert set_up_influx(settings) == ["made the user grafana, who may only read"]
    assert influx.mappings == [others]


def test_a_mapping_to_the_bucket_itself_stays(influx: InfluxDouble, settings: InfluxSetupSettings):
    set_up_influx(settings)
    influx.mappings = [influx.mapping(influx.buckets["loadstone"]["id"])]
    influx.users.clear()
    assert set_up_influx(settings) == ["made the user grafana, who may only read"]
    assert len(influx.mappings) == 1


def test_the_virtual_mapping_of_another_bucket_is_left_alone(influx: InfluxDouble, settings: InfluxSetupSettings):
    set_up_influx(settings)
    influx.buckets["loadstone/long"] = {"id": influx.new_id(), "name": "loadstone/long"}
    influx.users.clear()
    assert set_up_influx(settings) == ["made the user grafana, who may only read"]
    assert not [path for path in influx.removed if "dbrps" in path]


def test_a_reader_that_cannot_read_is_not_called_done(influx: InfluxDouble, settings: InfluxSetupSettings):
    influx.lets_read = False
    with pytest.raises(PlatformError, match="cannot read the bucket loadstone"):
        set_up_influx(settings)


@pytest.mark.parametrize(
    ("status", "said"),
    [(400, "Please provide either orgID or org"), (500, "unable to find DBRP"), (403, "insufficient permissions")],
)
def test_a_call_about_mappings_that_is_refused_is_told(
    influx: InfluxDouble, settings: InfluxSetupSettings, monkeypatch: pytest.MonkeyPatch, status: int, said: str
):
    set_up_influx(settings)
    influx.mappings = [influx.mapping("gone")]

    def refuse(handler: _Handler, path: str, _question: dict[str, str]) -> bool:
        is_call = path.startswith("/api/v2/dbrps")
        if is_call:
            handler._answer(status, {"code": "x", "message": said})
        return not is_call

    monkeypatch.setattr(_Handler, "_names_org", refuse)
    expected = "refuses the admin token" if status == 403 else f"answers {status} to GET /api/v2/dbrps: .*{said}"
    with pytest.raises(PlatformError, match=expected):
        set_up_influx(settings)
