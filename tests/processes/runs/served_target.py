"""Stands for `--apply` and `--restore` of a server that runs only while a study gives it limits.

    served_target.py start PORT PIDS [told]
    served_target.py stop PIDS

The server's process id is in the file PIDS; with `told` it is reported as well.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SERVER = Path(__file__).parents[2] / "support" / "http_server.py"
WITHIN_S = 30.0


def start(port: str, pids: str, *words: str) -> None:
    """A fresh server; comes back when it answers."""
    stop(pids)
    with Path(pids).with_suffix(".log").open("ab") as log:
        process = subprocess.Popen([sys.executable, str(SERVER), "--port", port], stdout=log, stderr=log)
    Path(pids).write_text(str(process.pid))
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
            break
        time.sleep(0.05)
    print(json.dumps({"pids": [process.pid]}) if "told" in words else "ready")


def stop(pids: str) -> None:
    """End the server, if there is one, and wait until its port is free."""
    if not Path(pids).exists():
        return
    with suppress(ProcessLookupError):
        os.kill(int(Path(pids).read_text()), signal.SIGKILL)
    Path(pids).unlink()


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](*sys.argv[2:])
