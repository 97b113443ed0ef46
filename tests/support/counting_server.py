"""Starting and asking the counting HTTP server (support.http_server) from a test."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import ServerProcess, free_port, port_answers

PROGRAM = Path(__file__).with_name("http_server.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """What the server has received: requests in all and by ``"POST /path"``, answers by status, connections."""

    total: int
    requests: dict[str, int]
    statuses: dict[int, int]
    connections: int
    open_connections: int


class CountingServer(ServerProcess):
    """The counting server in a process of its own; a restart comes back on the same port with counts of zero.

    ``pem`` names a file with certificate and key: it then serves HTTPS.
    """

    def __init__(self, folder: Path, *, latency_ms: float = 0.0, pem: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command: list[str | Path] = [sys.executable, PROGRAM, "--port", str(self.port), "--latency-ms", str(latency_ms)]
        command += ["--pem", pem] if pem else []
        self.url = f"{'https' if pem else 'http'}://127.0.0.1:{self.port}"
        super().__init__(command, log=folder / "counting-server.log", ready=lambda: port_answers(self.port))

    def count(self) -> Count:
        """Return what has been received so far."""
        answer = self._ask("GET", "/__count__")
        statuses = {int(status): count for status, count in answer.pop("statuses").items()}
        return Count(**answer, statuses=statuses)

    def reset(self) -> None:
        """Set all counts to zero."""
        self._ask("POST", "/__reset__")

    def configure(
        self,
        *,
        latency_ms: float | None = None,
        failures: dict[str, float] | None = None,
        most: float | None = None,
    ) -> None:
        """From now on delay every answer, answer 500 to an exact share of a path's requests, and let in so many."""
        settings = {"latency_ms": latency_ms, "failures": failures, "most": most}
        self._ask("POST", "/__settings__", {key: value for key, value in settings.items() if value is not None})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = self._connection()
        try:
            connection.request(method, path, json.dumps(body or {}))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.url.startswith("http:"):
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the client under test checks the certificate, not this one
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trusting)
