"""A double of the master of a compose stack: a real HTTP server on loopback with the routes of its control API."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

__all__ = ["EARLIER", "RUN", "MasterDouble"]

EARLIER: Final = "20261126-110000-aaaa"
"""The run that was there before."""
RUN: Final = "20261126-120000-beef"
"""The run that it starts."""


class MasterDouble(ThreadingHTTPServer):
    """Stands for the master of a stack: its state, its answers to a request to start, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.run: str | None = EARLIER
        self.state, self.users, self.workers = "stopped", 0, 2
        self.figures: dict[str, Any] | None = None
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.starts_runs = True
        self.state_at_start, self.state_when_stopped = "spawning", "stopped"
        self.requests: list[dict[str, Any]] = []
        self.stops = 0
        self.page: tuple[int, str, dict[str, str]] | None = None
        self.headers: list[tuple[str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def status(self) -> dict[str, Any]:
        live = None if self.figures is None else {"run": self.run, "now_ns": 0, **self.figures}
        return {"run": self.run, "state": self.state, "users": self.users, "workers": self.workers, "live": live}


class _Handler(BaseHTTPRequestHandler):
    server: MasterDouble

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        if self.server.page:
            status, text, headers = self.server.page
            self._send(status, text.encode(), headers)
            return
        self._answer(200, self.server.status())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.headers.append((self.headers["Origin"], self.headers["Authorization"]))
        if self.path == "/loadstone/stop":
            self.server.stops += 1
            self.server.state = self.server.state_when_stopped
            self._answer(200, {"run": self.server.run})
        elif self.server.refusal:
            self._answer(*self.server.refusal)
        else:
            assert self.headers["Content-Type"] == "application/json"
            self.server.requests.append(json.loads(body))
            if self.server.starts_runs:
                self.server.run, self.server.state = RUN, self.server.state_at_start
            self._answer(202, {"launch": "l"})

    def _answer(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), {})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
