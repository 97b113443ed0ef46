"""How many connections this process has opened: if they rise while the request rate does not, keep-alive is lost.

`LeanHttpUser` counts its own; `install()` makes Locust's `FastHttpUser` (geventhttpclient) and `HttpUser` (urllib3)
count theirs. Only opening a connection is counted, so a request on one that was kept costs nothing.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from geventhttpclient.connectionpool import ConnectionPool
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_MARK = "__loadstone_counts__"
_opened = 0


def count() -> None:
    """Count one connection that has been established."""
    global _opened  # noqa: PLW0603  # one number for the whole process
    _opened += 1


def opened() -> int:
    """Give the number of connections that this process has established since it started."""
    return _opened


def install() -> None:
    """Make the clients of Locust's own user classes count too; calling it again changes nothing."""
    for owner, name in ((ConnectionPool, "_connect_socket"), (HTTPConnection, "_new_conn")):
        connect = getattr(owner, name, None)
        if connect is None:
            logger.warning(
                'event=connections_uncounted class=%s hint="this version has no %s; new connections of it show as 0"',
                owner.__name__,
                name,
            )
        elif not hasattr(connect, _MARK):
            setattr(owner, name, _counting(connect))


def _counting(connect: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(connect)
    def connect_and_count(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        count()
        return connection

    setattr(connect_and_count, _MARK, True)
    return connect_and_count
