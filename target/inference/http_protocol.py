"""uvicorn's HTTP protocol with one system call per answer, and with a fix for a memory leak.

uvicorn writes the head and the body of an answer separately, and uvloop sends each write at once. One write costs as
much as everything else that the target does for a request. The head is therefore buffered until the body follows,
which always happens in the same iteration of the event loop: the target streams no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_HEAD: Final = b"HTTP/1.1 "
# A 100 Continue has no body, and the client waits for it before it sends the request's body.
_INTERIM: Final = b"HTTP/1.1 100"


class JoiningTransport:
    """Wraps a transport and holds an answer's head back until the next write; other calls go straight through."""

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
        """Hold the data when it is a head; otherwise send it, after the head that was held."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._head = data
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send a head that is still held, then close."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
        self._transport.close()


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a JoiningTransport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the transport of a new connection."""
        super().connection_made(cast("asyncio.Transport", JoiningTransport(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Release a connection that was reset as well as one that was closed.

        uvicorn 0.54 stops the keep-alive timer only when a connection was closed in order. HAProxy resets its idle
        connections, and each stayed in memory until the timer ended: 330 MB after 47,000 of them.
        """
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
