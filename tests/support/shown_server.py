"""uvicorn with `shown_app` in a process of its own; it inherits a listening socket, so no port is guessed."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["shown_server"]

TESTS = Path(__file__).parents[1]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10


@contextmanager
def shown_server() -> Iterator[str]:
    """Serve; the address. The first request waits in the socket's queue until uvicorn is up."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "support.shown_server", str(descriptor)]
        process = subprocess.Popen(command, cwd=TESTS, pass_fds=[descriptor])
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            urlopen(f"{url}/", timeout=START_TIMEOUT_S).close()
            yield url
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
