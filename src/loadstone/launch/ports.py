"""TCP ports: free ones, taken ones, reachable ones."""

from __future__ import annotations

import socket
from contextlib import closing
from urllib.parse import urlsplit

from loadstone.errors import UsageError

__all__ = ["check_free", "check_reachable", "free_port"]


def free_port(bind: str) -> int:
    """A port that nothing listens on now."""
    with closing(_listener(bind)) as listener:
        listener.bind((bind, 0))
        return int(listener.getsockname()[1])


def check_free(bind: str, port: int, option: str) -> None:
    """Raise `UsageError` when something listens on the port, or the address is not this machine's."""
    with closing(_listener(bind)) as listener:
        try:
            listener.bind((bind, port))
        except OSError as error:
            raise UsageError(
                f"{option} {port} on {bind} cannot be used: {error.strerror or error}",
                hint=f"Stop what listens there, or choose another one with {option}",
            ) from error


def check_reachable(url: str, timeout_s: float = 5.0) -> None:
    """Raise `UsageError` when nothing answers at an http(s) address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout_s).close()
    except OSError as error:
        raise UsageError(
            f"the target {parts.scheme}://{parts.hostname}:{port} cannot be reached: {error.strerror or error}",
            hint="Start it, or correct --host",
        ) from error


def _listener(bind: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener
