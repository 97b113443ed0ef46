"""uvicorn's HTTP protocol, with one system call per answer and without a leak.

uvicorn writes an answer's head and body apart, and uvloop sends each at once.

A write costs as much as everything that this project does for a request, so the head is kept until the body comes. That
is always within the same step of the event loop here: no answer of this service is streamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_HEAD: Final = b"HTTP/1.1 "
# An interim answer has no body: the client waits for it before it sends its own.
_INTERIM: Final = b"HTTP/1.1 100"


class JoiningTransport:
    """A transport that holds an answer's head until the next write; everything else is the transport's own."""

    __slots__ = (
        "_head",
        "_transport",
        "get_extra_info",
        "is_closing",
        "pause_reading",
        "resume_reading",
        "set_protocol",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.get_extra_info: Callable[..., Any] = transport.get_extra_info
        self.is_closing: Callable[[], bool] = transport.is_closing
        self.pause_reading: Callable[[], None] = transport.pause_reading
        self.resume_reading: Callable[[], None] = transport.resume_reading
        self.set_protocol: Callable[..., None] = transport.set_protocol

    def write(self, data: bytes) -> None:
        """Send the data behind a head that was held, or hold it when it is a head itself."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._head = data
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
        self._transport.close()


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that joins an answer's head and body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(cast("asyncio.Transport", JoiningTransport(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection that was reset, too.

        uvicorn 0.54 stops the keep-alive timer of orderly ends only. HAProxy ends its own with a reset, and each one
        was kept for the whole keep-alive time: 330 MB after 47,000 of them.
        """
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
