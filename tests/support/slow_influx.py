"""SlowInflux: a double of a busy InfluxDB 2.9.1, which cannot be had here, before a real 1.6.7 that keeps the data.

Each write takes ``fixed_s``, which is waiting that writes do side by side, or one by one as where it is for the sync of
the log, and ``per_line_s`` for each of its lines, which is CPU time that they take one after the other. Once in
``hangs_every_s``, one takes ``hangs_s`` longer. Then it is passed on, and its answer passed back.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

__all__ = ["SlowInflux", "SlowManner", "SlowWrite"]


class SlowWrite(NamedTuple):
    """One write as it passed: when it came and was answered (s), and its lines."""

    came_s: float
    answered_s: float
    lines: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowManner:
    """How writes are slow; see the module."""

    fixed_s: float
    per_line_s: float = 0.00003
    one_by_one: bool = False
    hangs_every_s: float = math.inf
    hangs_s: float = 0.0


class SlowInflux:
    """The double, served by threads of the test's own process on a loopback port of its own, before ``port``."""

    def __init__(self, port: int, manner: SlowManner) -> None:
        self.writes: list[SlowWrite] = []
        self._port = port
        self._manner = manner
        self._hangs_at_s = time.time() + manner.hangs_every_s
        self._queue = threading.Lock() if manner.one_by_one else nullcontext()
        self._cpu = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("BoundHandler", (_Handler,), {"influx": self}))

    @property
    def url(self) -> str:
        """The address for ``--influx-url``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def write(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Pass a write on when its time has passed; the status and the body of the answer."""
        came_s, lines, manner = time.time(), body.count(b"\n") + 1, self._manner
        if hangs := came_s > self._hangs_at_s:
            self._hangs_at_s = came_s + manner.hangs_every_s
        with self._queue:
            time.sleep(manner.fixed_s + (manner.hangs_s if hangs else 0.0))
            with self._cpu:
                time.sleep(manner.per_line_s * lines)
            answer = self._pass_on(target, headers, body)
        self.writes.append(SlowWrite(came_s, time.time(), lines))
        return answer

    def _pass_on(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone: a writer that is killed does that."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    influx: SlowInflux

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.influx.write(self.path, dict(self.headers), body)
        self.send_response(status)
        if answer or status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that the base class gives it
        """Keep the output free of access logs."""
