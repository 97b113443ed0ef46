"""Whether something accepts connections at an address, and the words for why not."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reason_of", "unreachable_because", "wait_until_reachable"]

_LOOK_EVERY_S: Final = 0.05


def unreachable_because(url: str, timeout_s: float = 5.0) -> str | None:
    """Why nothing accepts connections at an http(s) address; None when something does."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        return reason_of(error)
    return None


def wait_until_reachable(url: str, gives_up: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Wait until something accepts connections there, for ``within_s`` or until ``gives_up()``; whether it does."""
    deadline_s = time.monotonic() + within_s
    while unreachable_because(url, timeout_s=1.0):
        if gives_up() or time.monotonic() > deadline_s:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def reason_of(error: OSError | UnicodeError) -> str:
    """What the system says about an error, in its own words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
