"""Doctor: looks whether all that a load test needs is there and answers, and whether the clocks agree.

Each check says in plain words what it found and, where something is wrong, what to do.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from loadstone.errors import LoadstoneError
from loadstone.influx.client import InfluxClient, WriteOutcome, read_token
from loadstone.influx.line_protocol import point, tags
from loadstone.launch.ports import check_reachable
from loadstone.stream.client import FAILURES, check, clock_offset_ms, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from loadstone.settings import DoctorSettings

__all__ = ["Finding", "examine"]

MEASUREMENT: Final = "loadstone_doctor"
_TIMEOUT_S: Final = 10.0
_CLOCK_LIMIT_MS: Final = 100.0
"""From here on a run is inconclusive (design.md, "Times")."""

_DATE_LIMIT_S: Final = 2.0
"""The Date of an HTTP answer has whole seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``ok`` None: it was not asked for."""

    what: str
    ok: bool | None
    text: str


def examine(settings: DoctorSettings) -> list[Finding]:
    """Every check, in order. Nothing is raised: what goes wrong is a finding."""
    checks: list[tuple[str, str | None, Callable[[], Finding]]] = [
        ("Redis", settings.redis_url, lambda: _redis(str(settings.redis_url))),
        ("InfluxDB", settings.influx_url, lambda: _influx(settings)),
        ("target", settings.host, lambda: _target(str(settings.host))),
        ("clock", settings.redis_url, lambda: _clock(str(settings.redis_url))),
    ]
    return [_checked(what, wanted, look) for what, wanted, look in checks]


def _checked(what: str, wanted: str | None, look: Callable[[], Finding]) -> Finding:
    if wanted is None:
        return Finding(what, None, "not checked: no address given")
    try:
        return look()
    except (LoadstoneError, *FAILURES) as error:
        return Finding(what, ok=False, text=str(error))


def _redis(url: str) -> Finding:
    with connect(url) as client:
        check(client)
        memory: Any = client.info("memory")
        policy = memory.get("maxmemory_policy")
        kept = _appends(client)
    if policy != "noeviction":
        hint = "set maxmemory-policy noeviction, or samples can vanish unseen"
        return Finding("Redis", ok=False, text=f"it answers, but evicts entries ({policy}): {hint}")
    used, most = memory["used_memory"] / 1e6, memory.get("maxmemory", 0) / 1e6
    text = f"it answers; {used:.0f} MB of {f'{most:.0f} MB' if most else 'no limit'} used"
    return Finding("Redis", ok=True, text=text + ("" if kept else "; no append-only file, so a crash of it loses data"))


def _appends(client: Redis) -> bool:
    persistence: Any = client.info("persistence")
    return bool(persistence.get("aof_enabled"))


def _influx(settings: DoctorSettings) -> Finding:
    """Write a point and read it back."""
    mark = uuid.uuid4().hex
    sink = InfluxClient(settings, now_s=time.time)
    try:
        answer = sink.write(point(MEASUREMENT + tags({"check": "write"}), {"mark": mark}, time.time_ns()).encode())
    finally:
        sink.close()
    if answer.outcome is not WriteOutcome.STORED:
        return Finding("InfluxDB", ok=False, text=f"it did not take a point: {answer.reason}. {_advice(answer.status)}")
    if mark not in _read_back(settings, mark):
        hint = "check that the token may read the bucket"
        return Finding("InfluxDB", ok=False, text=f"it took a point but did not give it back: {hint}")
    return Finding("InfluxDB", ok=True, text=f"it took a point for bucket {settings.influx_bucket} and gave it back")


def _advice(status: int) -> str:
    advice = {
        401: "Correct the token in --influx-token-file",
        403: "Give the token the right to write to the bucket",
        404: "Correct --influx-org and --influx-bucket, or create the bucket",
    }
    return advice.get(status, "Start it, or correct --influx-url")


def _read_back(settings: DoctorSettings, mark: str) -> str:
    query = f'SELECT "mark" FROM "{MEASUREMENT}" WHERE "mark" = \'{mark}\''  # noqa: S608  (InfluxQL with a mark of ours)
    url = f"{settings.influx_url}/query?{urlencode({'db': settings.influx_bucket, 'q': query})}"
    token = read_token(settings.influx_token_file)
    headers = {"Authorization": f"Token {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310  (http or https: parsed)
            return json.dumps(json.load(answer))
    except (OSError, ValueError) as error:
        return str(error)


def _target(host: str) -> Finding:
    check_reachable(host)
    begun_s = time.monotonic()
    try:
        with urlopen(Request(host), timeout=_TIMEOUT_S) as answer:  # noqa: S310  (http or https: parsed)
            status, date = answer.status, answer.headers.get("Date")
    except HTTPError as error:
        status, date = error.code, error.headers.get("Date")
        error.close()
    except (OSError, ValueError) as error:
        return Finding("target", ok=False, text=f"{host} accepts connections but does not speak HTTP: {error}")
    took_ms = (time.monotonic() - begun_s) * 1000
    off_s = abs(parsedate_to_datetime(date).timestamp() - time.time()) if date else 0.0
    clock = f"; its clock is {off_s:.0f} s off" if off_s > _DATE_LIMIT_S else ""
    return Finding("target", ok=True, text=f"{host} answers with status {status} after {took_ms:.0f} ms{clock}")


def _clock(url: str) -> Finding:
    with connect(url) as client:
        check(client)
        offset_ms = min((clock_offset_ms(client) for _ in range(5)), key=abs)
    text = f"this machine is {abs(offset_ms):.1f} ms {'ahead of' if offset_ms > 0 else 'behind'} Redis"
    if abs(offset_ms) <= _CLOCK_LIMIT_MS:
        return Finding("clock", ok=True, text=text)
    hint = f"Runs are inconclusive above {_CLOCK_LIMIT_MS:.0f} ms: let both machines keep time with NTP"
    return Finding("clock", ok=False, text=f"{text}. {hint}")
