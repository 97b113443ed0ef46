"""A double of the demo target's HTTP server: whether it is ready, and what it says of itself."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["TargetDouble"]

_INFO = {"model": "diabetes", "version": "3", "alias": "champion", "limits": {"cpu_cores": 2.0}, "input_example": [1]}


class TargetDouble(ThreadingHTTPServer):
    """Stands for the demo target: ``/ready`` answers with ``status`` and ``why``, ``/info`` with ``info``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.why = 200, ""
        self.info: object = _INFO


class _Handler(BaseHTTPRequestHandler):
    server: TargetDouble

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        status = 200 if self.path == "/info" else self.server.status
        body = json.dumps(self.server.info if self.path == "/info" else {"why": self.server.why}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
