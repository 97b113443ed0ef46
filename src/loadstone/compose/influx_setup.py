"""Prepare InfluxDB 2 for the stack: a bucket, a write-only token and a read-only user, each tested by using it.

The HTTP API is described at https://docs.influxdata.com/influxdb/v2/api/. Users of the 1.x API are "legacy
authorizations", which ``influx v1 auth create`` makes too. Running it again changes nothing that is in place.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.query import has_rows
from loadstone.settings import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadstone.domain.time import Clock
    from loadstone.settings import InfluxSetupSettings

__all__ = ["set_up_influx"]

_TOKEN_NAME: Final = "loadstone collector: write only"  # noqa: S105  (a description)
_PROBE: Final = "stack_check,by=influx-init ok=1i"
_READ_PROBE: Final = 'SELECT last("ok") FROM "stack_check"'
_LEGACY: Final = "/private/legacy/authorizations"
_MAPPINGS: Final = "/api/v2/dbrps"
_ANSWERS_WITHIN_S: Final = 60.0
_PAUSE_S: Final = 0.5
_ADMIN_CURE: Final = "Name the file that `loadstone setup secrets` wrote with LOADSTONE_INFLUX_ADMIN_TOKEN_FILE"
_READER_CURE: Final = "Name the file that `loadstone setup secrets` wrote with LOADSTONE_INFLUX_READER_PASSWORD_FILE"
T = TypeVar("T")


class _Record(msgspec.Struct, frozen=True):
    """An organization, a token or a user."""

    id: str
    description: str = ""


class _Token(_Record, frozen=True, kw_only=True):
    token: str


class _RetentionRule(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How long a bucket keeps points. A shard group may not be longer than that, and 0 lets InfluxDB choose.

    The image makes shard groups of 168 h, with which InfluxDB refuses any shorter retention.
    """

    every_seconds: int = 0
    shard_group_duration_seconds: int = 0
    type: str = "expire"


class _Bucket(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    retention_rules: tuple[_RetentionRule, ...] = ()

    @property
    def kept_s(self) -> int:
        """Seconds after which points are removed; 0: never."""
        return sum(rule.every_seconds for rule in self.retention_rules)


class _Mapping(msgspec.Struct, frozen=True, rename={"bucket_id": "bucketID"}):
    """Which bucket InfluxQL takes for a database and retention policy; a virtual one follows the bucket's name."""

    id: str
    bucket_id: str = ""
    virtual: bool = False


class _Listing(msgspec.Struct, frozen=True):
    """The answer of a list endpoint: one of these."""

    orgs: tuple[_Record, ...] | None = None
    buckets: tuple[_Bucket, ...] | None = None
    authorizations: tuple[_Record, ...] | None = None
    content: tuple[_Mapping, ...] | None = None


class _Resource(msgspec.Struct, frozen=True, rename={"org_id": "orgID"}):
    id: str
    org_id: str
    type: str = "buckets"


class _Permission(msgspec.Struct, frozen=True):
    action: str
    resource: _Resource


def set_up_influx(
    settings: InfluxSetupSettings, *, clock: Clock = SYSTEM_CLOCK, sleep: Callable[[float], None] = time.sleep
) -> list[str]:
    """Set up what is missing; one line for each change. Raises `PlatformError` when InfluxDB refuses it."""
    if settings.influx_url is None or settings.influx_token_file is None:
        raise UsageError(
            "the address of InfluxDB or the file for the collector's token is not set",
            hint="Set LOADSTONE_INFLUX_URL and LOADSTONE_INFLUX_TOKEN_FILE",
        )
    with httpx.Client(base_url=settings.influx_url, timeout=settings.influx_timeout, trust_env=False) as client:
        _wait_until_it_answers(client, clock, sleep)
        setup = _Setup(client, settings, settings.influx_token_file)
        return [*setup.ensure_bucket(), *setup.ensure_writer(), *setup.ensure_reader()]


def _wait_until_it_answers(client: httpx.Client, clock: Clock, sleep: Callable[[float], None]) -> None:
    deadline_s = clock.monotonic_s() + _ANSWERS_WITHIN_S
    while True:
        try:
            answer = client.get("/health")
            if answer.status_code == HTTPStatus.OK:
                return
            reason = f"HTTP {answer.status_code}"
        except httpx.HTTPError as error:
            reason = str(error)
        if clock.monotonic_s() > deadline_s:
            raise PlatformError(
                f"InfluxDB at {client.base_url} was not ready within {_ANSWERS_WITHIN_S:.0f} s: {reason}",
                hint="See the log of the service influxdb",
            )
        sleep(_PAUSE_S)


class _Setup:
    def __init__(self, client: httpx.Client, settings: InfluxSetupSettings, token_file: Path) -> None:
        self._client = client
        self._settings = settings
        self._token_file = token_file
        token = read_secret(settings.influx_admin_token_file, "InfluxDB admin token", cure=_ADMIN_CURE)
        self._password = read_secret(settings.influx_reader_password_file, "InfluxDB password", cure=_READER_CURE)
        self._admin = {"Authorization": f"Token {token}"}
        self._org_id = self._find_org(settings.influx_org)
        self._bucket_id = ""

    def ensure_bucket(self) -> list[str]:
        """The bucket, with its retention."""
        rule = _RetentionRule(every_seconds=int(self._settings.influx_retention))
        name = self._settings.influx_bucket
        found = self._list("/api/v2/buckets", orgID=self._org_id, name=name).buckets
        if not found:
            body = {"orgID": self._org_id, "name": name, "retentionRules": (rule,)}
            self._bucket_id = self._ask("POST", "/api/v2/buckets", _Bucket, body).id
            return [f"made bucket {name}"]
        bucket = found[0]
        self._bucket_id = bucket.id
        if bucket.kept_s == rule.every_seconds:
            return []
        self._send("PATCH", f"/api/v2/buckets/{bucket.id}", {"retentionRules": (rule,)})
        return [f"changed the retention of bucket {name} from {bucket.kept_s} s to {rule.every_seconds} s"]

    def ensure_writer(self) -> list[str]:
        """The collector's token, in its file. InfluxDB shows a token only once, so a lost one is replaced."""
        if self._token_file.exists() and self._may_write():
            return []
        for old in self._list("/api/v2/authorizations", orgID=self._org_id).authorizations or ():
            if old.description == _TOKEN_NAME:
                self._send("DELETE", f"/api/v2/authorizations/{old.id}")
        body = {"orgID": self._org_id, "description": _TOKEN_NAME, "permissions": (self._permission("write"),)}
        _write(self._token_file, self._ask("POST", "/api/v2/authorizations", _Token, body).token)
        if not self._may_write():
            raise PlatformError("InfluxDB refuses the token that it has just made for the collector")
        return ["made the collector's token, which may only write"]

    def ensure_reader(self) -> list[str]:
        """The user for Grafana, with the password that Grafana was given; it reads the point that the writer wrote.

        A bucket that was deleted and made again has another id, for which an earlier user has no right.
        """
        name = self._settings.influx_reader
        if self._may_read():
            return []
        self._forget_mappings()
        for old in self._list(_LEGACY, orgID=self._org_id, token=name).authorizations or ():
            self._send("DELETE", f"{_LEGACY}/{old.id}")
        body = {"orgID": self._org_id, "token": name, "permissions": (self._permission("read"),)}
        made = self._ask("POST", _LEGACY, _Record, body)
        self._send("POST", f"{_LEGACY}/{made.id}/password", {"password": self._password})
        if not self._may_read():
            raise PlatformError(
                f"the user {name}, who was just made, cannot read the bucket {self._settings.influx_bucket}",
                hint="See the log of the service influxdb",
            )
        return [f"made the user {name}, who may only read"]

    def _forget_mappings(self) -> None:
        """Remove what makes the database of the bucket's name another bucket, such as one that was deleted.

        Without such a mapping InfluxDB takes the bucket of that name.
        """
        mappings = self._list(_MAPPINGS, orgID=self._org_id, db=self._settings.influx_bucket).content or ()
        for mapping in mappings:
            if not mapping.virtual and mapping.bucket_id != self._bucket_id:
                self._send("DELETE", f"{_MAPPINGS}/{mapping.id}?orgID={self._org_id}")

    def _may_write(self) -> bool:
        token = read_secret(self._token_file, "InfluxDB token", cure="Remove it, so that a new one is made")
        target = {"org": self._settings.influx_org, "bucket": self._settings.influx_bucket, "precision": "s"}
        headers = {"Authorization": f"Token {token}"}
        answer = self._client.post("/api/v2/write", params=target, content=_PROBE, headers=headers)
        return answer.status_code == HTTPStatus.NO_CONTENT

    def _may_read(self) -> bool:
        """Whether the reader gets the point that `_may_write` wrote: without the right, InfluxDB answers 200 too."""
        question = {"db": self._settings.influx_bucket, "q": _READ_PROBE}
        answer = self._client.get("/query", params=question, auth=(self._settings.influx_reader, self._password))
        return answer.status_code == HTTPStatus.OK and has_rows(answer.content)

    def _permission(self, action: str) -> _Permission:
        return _Permission(action, _Resource(self._bucket_id, self._org_id))

    def _find_org(self, name: str) -> str:
        found = self._list("/api/v2/orgs", org=name).orgs
        if not found:
            raise PlatformError(f"InfluxDB has no organization {name}", hint="Correct LOADSTONE_INFLUX_ORG")
        return found[0].id

    def _list(self, path: str, **parameters: str) -> _Listing:
        answer = self._client.get(path, params=parameters, headers=self._admin)
        return _Listing() if answer.status_code == HTTPStatus.NOT_FOUND else _decoded(_checked(answer), _Listing)

    def _ask(self, method: str, path: str, kind: type[T], body: object) -> T:
        return _decoded(self._send(method, path, body), kind)

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {**self._admin, "Content-Type": "application/json"}
        return _checked(self._client.request(method, path, content=content, headers=headers))


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer, when it is a success."""
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise PlatformError(
            "InfluxDB refuses the admin token: its volume was set up with other secrets than the secrets volume holds",
            hint="Restore the matching secrets volume, or remove InfluxDB's volume: the archive in ./results is"
            " complete, and `loadstone influx backfill RUN` writes it again",
        )
    if answer.is_error:
        request = answer.request
        raise PlatformError(
            f"InfluxDB answers {answer.status_code} to {request.method} {request.url.path}: {answer.text[:300]}"
        )
    return answer


def _decoded(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise PlatformError(f"InfluxDB's answer to {answer.request.url.path} is not understood: {error}") from error


def _write(file: Path, token: str) -> None:
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as handle:
        handle.write(token)
    new.replace(file)
