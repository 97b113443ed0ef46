"""A double of InfluxDB 2 that fails on demand. It is no database: it stands only for what a real one cannot be made
to show in a test (refused tokens, 413, 429, 503, hanging and broken connections), as Debian's 1.6.7 is the real one.

It speaks ``POST /api/v2/write`` (gzip included), ``/health`` and ``/ready``, keeps every accepted point, the last one
for each (measurement, tags, timestamp) as InfluxDB does, and rejects a whole batch for one malformed line, as 2.x does.

    with FaultyInflux() as influx:
        influx.queue(unavailable(), too_many_requests(retry_after_s=2), hang(3), cut_after_storing())
        ...                     # four requests fail in this order, the next ones are accepted
        assert len(influx.points) == 5000
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from support.line_protocol import LineError, PointKey, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable

POISON = b"poison"
HEALTH = {"name": "influxdb", "status": "pass", "message": "ready", "checks": [], "version": "2.9.1-double"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """What happens to one write request: it waits, is stored or not, and is answered or cut off."""

    status: int = 204
    code: str = "internal error"
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    cut: bool = False
    stores: bool = False
    held_until: threading.Event | None = None


def hold(until: threading.Event, behaviour: Behaviour | None = None) -> Behaviour:
    """Answer as ``behaviour`` says (default: accept), but not before that event."""
    return replace(behaviour or accept(), held_until=until)


def accept(*, delay_s: float = 0.0) -> Behaviour:
    """Accept and store (204), after a delay."""
    return Behaviour(stores=True, delay_s=delay_s)


def unauthorized() -> Behaviour:
    """Refuse the token (401)."""
    return Behaviour(status=401, code="unauthorized", message="unauthorized access")


def not_found() -> Behaviour:
    """Know no such bucket (404)."""
    return Behaviour(status=404, code="not found", message='bucket "x" not found')


def too_large() -> Behaviour:
    """Find the body too large (413)."""
    return Behaviour(status=413, code="request too large", message="request entity too large")


def too_many_requests(*, retry_after_s: int) -> Behaviour:
    """Ask for patience (429 with Retry-After)."""
    return Behaviour(status=429, code="too many requests", headers=(("Retry-After", str(retry_after_s)),))


def unavailable(*, status: int = 503) -> Behaviour:
    """Be out of service (503, or another 5xx)."""
    return Behaviour(status=status, code="unavailable", message="service unavailable")


def beyond_retention(dropped: int) -> Behaviour:
    """Store what the bucket still keeps, and report the rest as 2.9.1 does (422)."""
    series = "request,method=GET,name=/page,ok=t,run=20261120-080000-checkout,worker=0"
    bound = "2026-11-20T08:00:00Z dropped because it violates a Retention Policy Lower Bound at 2026-11-24T08:00:00Z"
    ends = f"oldest point {series} at {bound}, newest point {series} at {bound}"
    message = (
        f"failure writing points to database: partial write: dropped {dropped} points outside retention policy of"
        f" duration 72h0m0s - {ends} dropped={dropped} for database: d1f5b1e7c0a84f2b for retention policy: autogen"
    )
    return Behaviour(status=422, code="unprocessable entity", message=message, stores=True)


def hang(seconds: float) -> Behaviour:
    """Say nothing for a time, then cut the connection; nothing is stored."""
    return Behaviour(delay_s=seconds, cut=True)


def cut() -> Behaviour:
    """Reset the connection; nothing is stored."""
    return Behaviour(cut=True)


def cut_after_storing() -> Behaviour:
    """Store everything, then reset the connection: the client cannot know, and has to send it again."""
    return Behaviour(cut=True, stores=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteRequest:
    """One write request as it arrived and was answered; ``status`` 0 is a connection that was cut."""

    at_s: float
    bucket: str
    org: str
    precision: str
    authorization: str
    lines: tuple[bytes, ...]
    body_bytes: int
    gzipped: bool
    status: int


class FaultyInflux:
    """The double, served by threads of the test's own process on a loopback port of its own.

    Standing rules, to be set and changed at any time: ``token`` (others get 401; None takes any), ``max_body_bytes``
    (larger bodies get 413), ``poison`` (a line that contains it is malformed), ``partial`` (answer 422 and store the
    good lines, instead of 400 and none), ``kept_since_ns`` (older points are beyond retention: 422 in the words of
    2.9.1, and the others are stored), ``write_takes_s`` (for each request, and for each of its lines), ``down_until``
    (monotonic seconds; 503 before it). Queued behaviours come before the rules, one for each write request.
    ``requests`` lists all writes, ``points`` what was accepted.
    """

    def __init__(self) -> None:
        self.token: str | None = None
        self.max_body_bytes: int | None = None
        self.poison = POISON
        self.partial = False
        self.kept_since_ns = 0
        self.write_takes_s = (0.0, 0.0)
        self.down_until = 0.0
        self.requests: list[WriteRequest] = []
        self._stored: list[bytes] = []
        self._queue: deque[Behaviour] = deque()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The address for ``--influx-url``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def points(self) -> dict[PointKey, dict[str, Any]]:
        """Every accepted point: its fields by (measurement, sorted tags, timestamp in ns)."""
        with self._lock:
            lines = list(self._stored)
        return dict(parse_line(line) for line in lines)

    def queue(self, *behaviours: Behaviour) -> None:
        """Let the next write requests meet these behaviours, one each."""
        with self._lock:
            self._queue.extend(behaviours)

    def fail_for(self, seconds: float) -> None:
        """Be out of service (503) for a time from now."""
        self.down_until = time.monotonic() + seconds

    def start(self) -> Self:
        """Serve; after a stop on the same port, with the points that were there."""
        self._ended.clear()
        self._server = _Server(("127.0.0.1", self._port), _handler_for(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuse connections, as a server that is not running does."""
        if self._server is None:
            return
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def wait(self, seconds: float) -> None:
        """Delay an answer, or give up waiting when the server stops."""
        self._ended.wait(seconds)

    def hold(self, until: threading.Event) -> None:
        """Hold an answer, or give up when the server stops."""
        while not until.wait(0.02) and not self._ended.is_set():
            pass

    def decide(self, arrived: _Arrived) -> Behaviour:
        """Choose what happens to a request, and store what is accepted of it."""
        fixed_s, per_line_s = self.write_takes_s
        self.wait(fixed_s + per_line_s * len(arrived.lines))
        with self._lock:
            behaviour = self._queue.popleft() if self._queue else self._by_rules(arrived)
            if behaviour.stores:
                self._stored += [line for line in arrived.lines if not self._flaw(line) and not self._is_old(line)]
            self.requests.append(arrived.as_request(0 if behaviour.cut else behaviour.status))
        return behaviour

    def _by_rules(self, arrived: _Arrived) -> Behaviour:
        if time.monotonic() < self.down_until:
            return unavailable()
        if self.token is not None and arrived.authorization != f"Token {self.token}":
            return unauthorized()
        if self.max_body_bytes is not None and arrived.body_bytes > self.max_body_bytes:
            return too_large()
        flaws = [flaw for flaw in map(self._flaw, arrived.lines) if flaw]
        if not flaws:
            old = sum(map(self._is_old, arrived.lines))
            return beyond_retention(old) if old else accept()
        if self.partial:
            message = f"failure writing points to database: partial write: {flaws[0]} dropped={len(flaws)}"
            return Behaviour(status=422, code="unprocessable entity", message=message, stores=True)
        return Behaviour(status=400, code="invalid", message=flaws[0])

    def _is_old(self, line: bytes) -> bool:
        return bool(self.kept_since_ns) and int(line.rpartition(b" ")[2]) < self.kept_since_ns

    def _flaw(self, line: bytes) -> str:
        """Return what is wrong with a line, or nothing."""
        text = line.decode(errors="replace")
        if self.poison in line:
            return f"unable to parse '{text}': poison"
        try:
            parse_line(line)
        except LineError as error:
            return f"unable to parse '{text}': {error}"
        return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrived:
    """A write request before its answer is decided."""

    query: dict[str, list[str]]
    authorization: str
    body: bytes
    body_bytes: int
    gzipped: bool

    @property
    def lines(self) -> tuple[bytes, ...]:
        return tuple(line for line in self.body.split(b"\n") if line)

    def as_request(self, status: int) -> WriteRequest:
        return WriteRequest(
            at_s=time.monotonic(),
            bucket=self.query.get("bucket", [""])[0],
            org=self.query.get("org", [""])[0],
            precision=self.query.get("precision", ["ns"])[0],
            authorization=self.authorization,
            lines=self.lines,
            body_bytes=self.body_bytes,
            gzipped=self.gzipped,
            status=status,
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone: that is what the tests do to it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    influx: FaultyInflux

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/health":
            self._answer(Behaviour(status=200), HEALTH)
        elif path == "/ready":
            self._answer(Behaviour(status=200), {"status": "ready"})
        elif path == "/ping":
            self._answer(Behaviour(status=204))
        else:
            self._answer(Behaviour(status=404, code="not found", message="path not found"))

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if url.path != "/api/v2/write":
            self._answer(Behaviour(status=404, code="not found", message="path not found"))
            return
        gzipped = self.headers.get("Content-Encoding") == "gzip"
        arrived = _Arrived(
            query=parse_qs(url.query),
            authorization=self.headers.get("Authorization", ""),
            body=gzip.decompress(raw) if gzipped else raw,
            body_bytes=len(raw),
            gzipped=gzipped,
        )
        self._answer(self.influx.decide(arrived))

    def _answer(self, behaviour: Behaviour, body: dict[str, Any] | None = None) -> None:
        if behaviour.delay_s:
            self.influx.wait(behaviour.delay_s)
        if behaviour.held_until:
            self.influx.hold(behaviour.held_until)
        if behaviour.cut:
            self._reset()
            return
        error = {"code": behaviour.code, "message": behaviour.message}
        payload = b"" if behaviour.status == 204 else json.dumps(body or error).encode()
        self.send_response(behaviour.status)
        for name, value in behaviour.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _reset(self) -> None:
        """Close with RST: SO_LINGER with a time of zero, see socket(7)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that the base class gives it
        """Keep the tests' output free of access logs."""


def _handler_for(influx: FaultyInflux) -> Callable[..., _Handler]:
    return type("BoundHandler", (_Handler,), {"influx": influx})
