"""Whether something accepts connections at an address, and the words for why not."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

__all__ = ["reason_of", "unreachable_because"]


def unreachable_because(url: str, timeout_s: float = 5.0) -> str | None:
    """Why nothing accepts connections at an http(s) address; None when something does."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        return reason_of(error)
    return None


def reason_of(error: OSError | UnicodeError) -> str:
    """What the system says about an error, in its own words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
