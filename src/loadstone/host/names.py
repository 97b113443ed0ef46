"""The names of this machine under which its web pages may be opened."""

from __future__ import annotations

import socket

__all__ = ["machine_names"]


def machine_names() -> set[str]:
    """Its host name, whole and without domain, and its name in multicast DNS (RFC 6762). No name server is asked."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"} if short else set()
