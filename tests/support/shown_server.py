"""uvicorn with `shown_app` in a process of its own; it inherits a listening socket, so no port is guessed."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["shown_server"]

TESTS = Path(__file__).parents[1]
STOP_TIMEOUT_S = 10


@contextmanager
def shown_server() -> Iterator[str]:
    """Serve; the address. Connections that come before uvicorn is up wait in the socket's queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "support.shown_server", str(descriptor)]
        process = subprocess.Popen(command, cwd=TESTS, pass_fds=[descriptor])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def main(descriptor: int) -> None:
    """Serve on an inherited socket until the process is terminated."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config("support.shown_app:app", log_level="error", lifespan="off"))
    server.run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
