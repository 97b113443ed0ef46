"""A server of the standard library that serves in a thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import socketserver
    from collections.abc import Iterator

__all__ = ["serving"]

Server = TypeVar("Server", bound="socketserver.BaseServer")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve until the context ends, however it ends; the server is closed then."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
