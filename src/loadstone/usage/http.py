"""One short GET, over TCP or a Unix socket, with nothing but the standard library."""

from __future__ import annotations

import http.client
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadstone.usage.reading import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["get", "get_from_socket"]

_TIMEOUT_S: Final = 3.0


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get(url: str, timeout_s: float = _TIMEOUT_S) -> str:
    """What an address answers. Raises `SourceError` when it does not, or not with 200."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return _get(kind(parts.hostname or "", parts.port, timeout=timeout_s), path, url)


def get_from_socket(socket_path: Path, path: str, timeout_s: float = _TIMEOUT_S) -> str:
    """The same over a Unix socket."""
    return _get(_SocketConnection(socket_path, timeout_s), path, f"{socket_path}{path}")


def _get(connection: http.client.HTTPConnection, path: str, what: str) -> str:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{what} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise SourceError(f"{what} answers {answer.status}: {body[:200]}")
    return body
