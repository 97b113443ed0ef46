"""Preparing InfluxDB 2 for the stack: bucket, a token that may only write, a user that may only read, each proven.

The HTTP API is described at https://docs.influxdata.com/influxdb/v2/api/; users of the 1.x API ("legacy
authorizations") are what ``influx v1 auth create`` makes. Doing it again changes nothing.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx

from loadstone.errors import PlatformError, UsageError
from loadstone.influx.client import read_token

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.settings import InfluxSetupSettings

__all__ = ["set_up_influx"]

_TOKEN_NAME: Final = "loadstone collector: write only"  # noqa: S105  (a description)
_PROBE: Final = "stack_check,by=influx-init ok=1i"
_LEGACY: Final = "/private/legacy/authorizations"
_WITHIN_S: Final = 60.0
_PAUSE_S: Final = 0.5


def set_up_influx(settings: InfluxSetupSettings) -> list[str]:
    """What was made. Raises `PlatformError` when InfluxDB refuses, or knows other secrets than these."""
    if settings.influx_url is None or settings.influx_token_file is None:
        raise UsageError("InfluxDB or the token's file is not named", hint="Set LOADSTONE_INFLUX_URL and _TOKEN_FILE")
    with httpx.Client(base_url=settings.influx_url, timeout=settings.influx_timeout, trust_env=False) as client:
        setup = _Setup(client, settings, settings.influx_token_file)
        return [*setup.have_bucket(), *setup.have_writer(), *setup.have_reader()]


class _Setup:
    def __init__(self, client: httpx.Client, settings: InfluxSetupSettings, token_file: Path) -> None:
        self._client = client
        self._settings = settings
        self._token_file = token_file
        self._admin = {"Authorization": f"Token {read_token(settings.influx_admin_token_file)}"}
        self._wait_until_it_answers()
        self._org_id = self._find("/api/v2/orgs", "orgs", org=settings.influx_org)["id"]
        self._bucket_id = ""

    def have_bucket(self) -> list[str]:
        """The bucket, with its retention."""
        rule = {"type": "expire", "everySeconds": int(self._settings.influx_retention)}
        name = self._settings.influx_bucket
        found = self._list("/api/v2/buckets", "buckets", orgID=self._org_id, name=name)
        if not found:
            body = {"orgID": self._org_id, "name": name, "retentionRules": [rule]}
            self._bucket_id = self._ask("POST", "/api/v2/buckets", json=body)["id"]
            return [f"made bucket {name}"]
        self._bucket_id = found[0]["id"]
        kept_s = sum(int(old.get("everySeconds", 0)) for old in found[0].get("retentionRules", []))
        if kept_s == rule["everySeconds"]:
            return []
        self._ask("PATCH", f"/api/v2/buckets/{self._bucket_id}", json={"retentionRules": [rule]})
        return [f"changed the retention of bucket {name} from {kept_s} s to {rule['everySeconds']} s"]

    def have_writer(self) -> list[str]:
        """The collector's token, in its file; InfluxDB shows a token once, so a lost one is made anew."""
        if self._token_file.exists() and self._may_write():
            return []
        for old in self._list("/api/v2/authorizations", "authorizations", orgID=self._org_id):
            if old.get("description") == _TOKEN_NAME:
                self._ask("DELETE", f"/api/v2/authorizations/{old['id']}")
        body = {"orgID": self._org_id, "description": _TOKEN_NAME, "permissions": [self._permission("write")]}
        _write(self._token_file, self._ask("POST", "/api/v2/authorizations", json=body)["token"])
        if not self._may_write():
            raise PlatformError("InfluxDB refuses the token that it has just made for the collector")
        return ["made the collector's token, which may only write"]

    def have_reader(self) -> list[str]:
        """The user for Grafana, with the password that Grafana has."""
        name = self._settings.influx_reader
        if self._may_read():
            return []
        found = self._list(_LEGACY, "authorizations", orgID=self._org_id, token=name)
        if not found:
            body = {"orgID": self._org_id, "token": name, "permissions": [self._permission("read")]}
            found = [self._ask("POST", _LEGACY, json=body)]
        self._ask("POST", f"{_LEGACY}/{found[0]['id']}/password", json={"password": self._password()})
        if not self._may_read():
            raise PlatformError(f"InfluxDB refuses the user {name} that it has just made")
        return [f"made the user {name}, who may only read"]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                if self._client.get("/health").status_code == HTTPStatus.OK:
                    return
            except httpx.HTTPError as error:
                if time.monotonic() > deadline:
                    raise PlatformError(f"InfluxDB at {self._client.base_url} does not answer: {error}") from error
            time.sleep(_PAUSE_S)

    def _may_write(self) -> bool:
        token = read_token(self._token_file)
        where = {"org": self._settings.influx_org, "bucket": self._settings.influx_bucket, "precision": "s"}
        headers = {"Authorization": f"Token {token}"}
        answer = self._client.post("/api/v2/write", params=where, content=_PROBE, headers=headers)
        return answer.status_code == HTTPStatus.NO_CONTENT

    def _may_read(self) -> bool:
        question = {"db": self._settings.influx_bucket, "q": "SHOW MEASUREMENTS"}
        answer = self._client.get("/query", params=question, auth=(self._settings.influx_reader, self._password()))
        return answer.status_code == HTTPStatus.OK

    def _password(self) -> str:
        return read_token(self._settings.influx_reader_password_file) or ""

    def _permission(self, action: str) -> dict[str, Any]:
        resource = {"type": "buckets", "id": self._bucket_id, "orgID": self._org_id}
        return {"action": action, "resource": resource}

    def _find(self, path: str, key: str, **parameters: str) -> dict[str, Any]:
        found = self._list(path, key, **parameters)
        if not found:
            raise PlatformError(f"InfluxDB has no {key[:-1]} {' '.join(parameters.values())}")
        return found[0]

    def _list(self, path: str, key: str, **parameters: str) -> list[dict[str, Any]]:
        answer = self._client.get(path, params=parameters, headers=self._admin)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        found: list[dict[str, Any]] = self._read(answer).get(key) or []
        return found

    def _ask(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        return self._read(self._client.request(method, path, json=json, headers=self._admin))

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise PlatformError(
                "InfluxDB refuses the admin token: its volume was set up with other secrets than those in the"
                " secrets' volume",
                hint="Bring back the volume that belongs to it, or remove InfluxDB's volume: the archive in ./results"
                " is complete and `loadstone influx backfill RUN` writes it again",
            )
        if answer.is_error:
            raise PlatformError(
                f"InfluxDB answers {answer.status_code} to {answer.request.method} {answer.request.url.path}: "
                f"{answer.text[:300]}"
            )
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


def _write(file: Path, token: str) -> None:
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as handle:
        handle.write(token)
    new.replace(file)
