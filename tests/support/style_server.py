"""Starting and asking the server of the Locust files in tests/conformance/scenarios (support.style_app)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from support.counting_server import CountingServer
from support.processes import ServerProcess, free_port, port_answers

PROGRAM = Path(__file__).with_name("style_app.py")


class StyleServer(CountingServer):
    """Speaks HTTP on ``port``, gRPC on ``grpc_port`` and WebSocket on ``websocket_port``; the latency is its own."""

    def __init__(self, folder: Path, **_: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.grpc_port, self.websocket_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        ports = [str(port) for port in (self.port, self.grpc_port, self.websocket_port)]
        ServerProcess.__init__(
            self,
            [sys.executable, PROGRAM, *ports],
            log=folder / "style-server.log",
            ready=lambda: port_answers(self.port),
        )
