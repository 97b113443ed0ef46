"""Doctor: check that the servers of a load test answer and that the clocks agree.

Each check reports what it found and, where something is wrong, what to do.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx
from redis.exceptions import NoPermissionError

from loadstone.domain.time import MS_PER_S, NS_PER_S
from loadstone.errors import LoadstoneError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.line_protocol import point, tags
from loadstone.influx.query import has_rows
from loadstone.launch.preflight import check_reachable
from loadstone.settings import read_token
from loadstone.stream.client import FAILURES, check, clock_offset_ms, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.domain.time import Clock
    from loadstone.settings import DoctorSettings

__all__ = ["Finding", "examine"]

_MEASUREMENT: Final = "loadstone_doctor"
_TIMEOUT_S: Final = 10.0
_REASON_LIMIT: Final = 300
_WITHOUT_RIGHT: Final = {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""How InfluxDB answers a query of a token that may not read; 2.x with 200, and no row."""

_CLOCK_SAMPLES: Final = 5
_CLOCK_LIMIT_MS: Final = 100.0
"""Above this a run is inconclusive (docs/reference/objectives.md)."""

_DATE_LIMIT_S: Final = 2.0
"""The Date header of an HTTP response has whole seconds (RFC 9110, 5.6.7)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``ok`` is None when it was not asked for."""

    what: str
    ok: bool | None
    text: str


def examine(settings: DoctorSettings, clock: Clock = SYSTEM_CLOCK) -> list[Finding]:
    """The finding of every check, in order. Raises nothing: a failure is a finding."""
    checks: list[tuple[str, str, str | None, Callable[[], Finding]]] = [
        ("Redis", "--redis-url", settings.redis_url, lambda: _redis(str(settings.redis_url))),
        ("InfluxDB", "--influx-url", settings.influx_url, lambda: _influx(settings, clock)),
        ("target", "--host", settings.host, lambda: _target(str(settings.host), clock)),
        ("clock", "--redis-url", settings.redis_url, lambda: _clock(str(settings.redis_url))),
    ]
    return [_run_check(*each) for each in checks]


def _run_check(what: str, option: str, address: str | None, check_it: Callable[[], Finding]) -> Finding:
    if address is None:
        return Finding(what, None, f"not checked: {option} is not set")
    try:
        return check_it()
    except (LoadstoneError, httpx.HTTPError, *FAILURES) as error:
        return Finding(what, ok=False, text=str(error))


def _redis(url: str) -> Finding:
    with connect(url) as client:
        check(client)
        try:
            memory: Any = client.info("memory")
            persistent = _has_append_only_file(client)
        except NoPermissionError:
            text = "it answers; this user may only send, so memory and persistence are not checked"
            return Finding("Redis", ok=True, text=text)
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction":
        hint = "Set maxmemory-policy to noeviction, or samples can be lost unnoticed"
        return Finding("Redis", ok=False, text=f"it answers, but its maxmemory-policy is {policy}. {hint}")
    used_mb, limit_mb = memory["used_memory"] / 1e6, memory.get("maxmemory", 0) / 1e6
    text = f"it answers and uses {used_mb:.0f} MB of {f'{limit_mb:.0f} MB' if limit_mb else 'unlimited memory'}"
    warning = "" if persistent else "; without an append-only file it loses data in a crash (set appendonly yes)"
    return Finding("Redis", ok=True, text=text + warning)


def _has_append_only_file(client: Redis) -> bool:
    persistence: Any = client.info("persistence")
    return bool(persistence.get("aof_enabled"))


def _influx(settings: DoctorSettings, clock: Clock) -> Finding:
    """Write a point and read it back. The collector's token may only write, which is as it should be."""
    mark = uuid.uuid4().hex
    token = read_token(settings.influx_token_file)
    headers = {"Authorization": f"Token {token}"} if token else {}
    with httpx.Client(
        base_url=str(settings.influx_url), headers=headers, timeout=_TIMEOUT_S, trust_env=False
    ) as client:
        line = point(_MEASUREMENT + tags({"check": "write"}), {"mark": mark}, clock.now_ns())
        try:
            answer = client.post("/api/v2/write", params=_destination(settings), content=line)
        except httpx.HTTPError as error:
            return _refused(str(error), status=0)
        if answer.is_error:
            return _refused(f"HTTP {answer.status_code}: {answer.text[:_REASON_LIMIT]}", answer.status_code)
        query = f'SELECT "mark" FROM "{_MEASUREMENT}" WHERE "mark" = \'{mark}\''  # noqa: S608  (InfluxQL, our own mark)
        found = client.get("/query", params={"db": settings.influx_bucket, "q": query})
    bucket = settings.influx_bucket
    if found.status_code not in _WITHOUT_RIGHT:
        return Finding(
            "InfluxDB", ok=False, text=f"it accepted a point but answers HTTP {found.status_code} to a query"
        )
    if not has_rows(found.content):
        text = f"the token can write to bucket {bucket}, and it cannot read, as it should be"
        return Finding("InfluxDB", ok=True, text=text)
    return Finding("InfluxDB", ok=True, text=f"it stored a point in bucket {bucket} and gave it back")


def _destination(settings: DoctorSettings) -> dict[str, str]:
    return {"org": settings.influx_org, "bucket": settings.influx_bucket, "precision": "ns"}


def _refused(reason: str, status: int) -> Finding:
    advice: dict[int, str] = {
        HTTPStatus.UNAUTHORIZED: "Correct the token in --influx-token-file",
        HTTPStatus.FORBIDDEN: "Give the token permission to write to the bucket",
        HTTPStatus.NOT_FOUND: "Correct --influx-org and --influx-bucket, or create the bucket",
    }
    hint = advice.get(status, "Start it, or correct --influx-url")
    return Finding("InfluxDB", ok=False, text=f"it did not accept a point: {reason}. {hint}")


def _target(host: str, clock: Clock) -> Finding:
    check_reachable(host)
    begun_s = clock.monotonic_s()
    try:
        answer = httpx.get(host, timeout=_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        return Finding("target", ok=False, text=f"{host} accepts connections but does not speak HTTP: {error}")
    took_ms = (clock.monotonic_s() - begun_s) * MS_PER_S
    off_s = _clock_off_s(answer.headers.get("Date"), clock)
    warning = f"; its clock is {off_s:.0f} s off" if off_s > _DATE_LIMIT_S else ""
    return Finding(
        "target", ok=True, text=f"{host} answers with status {answer.status_code} after {took_ms:.0f} ms{warning}"
    )


def _clock_off_s(date: str | None, clock: Clock) -> float:
    """How far the Date header of an answer is from this machine's time; 0 without a header that is a date."""
    try:
        return abs(parsedate_to_datetime(date).timestamp() - clock.now_ns() / NS_PER_S) if date else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _clock(url: str) -> Finding:
    with connect(url) as client:
        check(client)
        offset_ms = min((clock_offset_ms(client) for _ in range(_CLOCK_SAMPLES)), key=abs)
    text = f"this machine is {abs(offset_ms):.1f} ms {'ahead of' if offset_ms > 0 else 'behind'} Redis"
    if abs(offset_ms) <= _CLOCK_LIMIT_MS:
        return Finding("clock", ok=True, text=text)
    hint = f"Runs are inconclusive above {_CLOCK_LIMIT_MS:.0f} ms: synchronize both machines with NTP"
    return Finding("clock", ok=False, text=f"{text}. {hint}")
