"""Patches a check in geventhttpclient that costs `FastHttpUser` its keep-alive from about 1,010 users in one process.

Before it reuses a connection, geventhttpclient 2.6.1 asks with `select()` whether it is still alive. `select()` cannot
take a file descriptor of 1,024 or more (its FD_SETSIZE); the ValueError is taken to mean "dead", and every request on
such a socket opens a new connection. `poll()` has no such limit. `sound` tries the installed version on a real socket
beyond the limit, so nothing is patched once a version has the check right.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from typing import TYPE_CHECKING, Any

import geventhttpclient
from geventhttpclient.connectionpool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

logger = logging.getLogger(__name__)

FD_SETSIZE = 1_024  # select(2)
CHECK = "_is_socket_alive"


def install(environment: Environment, *, enabled: bool = True) -> bool:  # noqa: ARG001  # the signature of an init hook
    """Patch the check if it is unsound; tell whether that was done, with one line in the log.

    Call it once, on Locust's `init` event. With `enabled` false nothing is touched, which the log says if it matters.
    """
    check = getattr(ConnectionPool, CHECK, None)
    if check is None or check is is_alive or sound(check):
        return False
    if not enabled:
        logger.warning(
            'event=fasthttp_liveness patched=false version=%s hint="FastHttpUser reopens its connection on every'
            ' request from about 1,010 users in one process; use more workers or LeanHttpUser, or allow the patch"',
            geventhttpclient.__version__,
        )
        return False
    setattr(ConnectionPool, CHECK, is_alive)
    logger.warning(
        'event=fasthttp_liveness patched=true version=%s cause="its select() check fails on file descriptors of 1,024'
        ' and more; poll() is used instead"',
        geventhttpclient.__version__,
    )
    return True


def is_alive(_pool: ConnectionPool | None, sock: Any) -> bool:
    """Tell whether an idle socket can be used again: open, and with nothing to read, not even an end of file."""
    if sock is None or sock.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(sock.fileno(), select.POLLIN)
    return not poller.poll(0)


def sound(check: Callable[[Any, Any], bool]) -> bool:
    """Tell whether `check` recognises an idle connection on a file descriptor beyond what `select()` can take.

    Where the process may not open so many, no user can get there either, and the check counts as sound.
    """
    left, right = socket.socketpair()
    try:
        with socket.socket(fileno=_duplicate_beyond(left.fileno())) as far:
            return bool(check(None, far))
    except OSError:
        return True
    finally:
        left.close()
        right.close()


def _duplicate_beyond(descriptor: int) -> int:
    """Give a duplicate whose number is at least FD_SETSIZE; raises OSError if the limit of open files forbids it."""
    import fcntl  # noqa: PLC0415  # not on Windows, where select() has no such limit

    duplicate: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FD_SETSIZE)
    os.set_blocking(duplicate, False)  # os's own signature
    return duplicate
