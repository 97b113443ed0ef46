"""One connection, read by the event loop itself.

The read watcher of a connection stays on for its whole life. That saves the failing first `recv` and the `epoll_ctl`
of every request, and it makes liveness free: when a server closes an idle connection, the loop reads the end of file
and closes our side at once, so no request has to ask first. Of a busy connection, the bytes are handed to the waiting
greenlet directly from the loop's callback.

The timer is lazy: it is not touched by a request as long as deadlines only grow. When it fires, it checks whether the
deadline has moved and, if so, is set again for the rest.
"""

from __future__ import annotations

import errno
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

from gevent import get_hub, getcurrent

from loadstone.domain.time import NS_PER_S
from loadstone.lean.errors import ReadTimeoutError

if TYPE_CHECKING:
    import _socket

READ_BYTES = 16_384
NEVER = 1 << 62
READ, WRITE = 1, 2  # libev's EV_READ and EV_WRITE, which gevent's io watchers take


class Codec(Protocol):
    """What turns plain bytes into the bytes of the wire and back (TLS)."""

    def seal(self, plain: bytes) -> bytes:
        """Give the bytes to send for `plain`."""

    def unseal(self, data: bytes) -> bytes | None:
        """Give the plain bytes that `data` completes: b"" at the end of the stream, None when there are none yet."""


class Connection:
    """A non-blocking stream socket of one greenlet at a time."""

    __slots__ = (
        "_buffered",
        "_deadline_ns",
        "_hub",
        "_paused",
        "_recv",
        "_send",
        "_sock",
        "_timer",
        "_timer_due_ns",
        "_waiter",
        "_watcher",
        "alive",
        "codec",
        "exchanges",
        "idle_since_ns",
    )

    def __init__(self, sock: _socket.socket) -> None:
        self._hub = get_hub()
        self._sock = sock
        self._recv, self._send = sock.recv, sock.send
        self._waiter: Any = None
        self._buffered: bytes | OSError | None = None
        self._paused = False
        self._deadline_ns = NEVER
        self._timer: Any = None
        self._timer_due_ns = NEVER
        self.alive = True
        self.codec: Codec | None = None
        self.exchanges = 0
        self.idle_since_ns = 0
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)

    def limit(self, deadline_ns: int) -> None:
        """Let every wait from now on fail with ReadTimeoutError after `deadline_ns` (of perf_counter_ns)."""
        self._deadline_ns = deadline_ns
        if deadline_ns < self._timer_due_ns:
            self._arm(deadline_ns)

    def send(self, data: bytes) -> None:
        """Send everything, waiting for the peer to take it.

        Raises OSError as the system gives it, and ReadTimeoutError.
        """
        if self.codec is not None:
            data = self.codec.seal(data)
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:])

    def read(self) -> bytes:
        """Give the next bytes, b"" at the end of the stream.

        Raises OSError as the system gives it, and ReadTimeoutError.
        """
        if self._buffered is not None or self._paused:
            return self._read_buffered()
        return self._wait()  # type: ignore[no-any-return]  # what a greenlet is switched to with is Any

    def look(self) -> bool:
        """Check whether the peer has closed this idle connection, close it if so, and tell whether it is usable."""
        if self.alive:
            self._on_readable()
        return self.alive

    def close(self) -> None:
        """Close the socket and free what the event loop holds; closing again does nothing."""
        if not self.alive:
            return
        self.alive = False
        self._watcher.stop()
        self._watcher.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._sock.close()

    def _wait(self) -> Any:
        self._waiter = getcurrent()
        try:
            return self._hub.switch()
        finally:
            self._waiter = None

    def _on_readable(self) -> None:
        try:
            data = self._recv(READ_BYTES)
            if self.codec is not None:
                plain = self.codec.unseal(data)
                if plain is None:
                    return
                data = plain
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._deliver_error(error)
            return
        if self._waiter is not None:
            self._waiter.switch(data)
        else:
            self._receive_unasked(data)

    def _deliver_error(self, error: OSError) -> None:
        if self._waiter is not None:
            self._watcher.stop()
            self._waiter.throw(error)
        else:
            self._receive_unasked(error)

    def _receive_unasked(self, data: bytes | OSError) -> None:
        """Close an idle connection that receives anything; of a busy one keep the data and stop reading."""
        if self.idle_since_ns:
            self.close()
        else:
            self._buffered, self._paused = data, True
            self._watcher.stop()

    def _read_buffered(self) -> bytes:
        data, self._buffered = self._buffered, None
        if self._paused:
            self._paused = False
            self._watcher.start(self._on_readable)
        if isinstance(data, OSError):
            raise data
        return self._wait() if data is None else data

    def _send_rest(self, rest: memoryview) -> None:
        """Send what did not fit into the socket's buffer; an answer that comes meanwhile is kept for `read`."""
        watcher = self._hub.loop.io(self._sock.fileno(), WRITE)
        try:
            while rest:
                watcher.start(self._on_writable)
                early = self._wait()
                watcher.stop()
                if early is not None:
                    self._receive_unasked(early)
                rest = rest[self._try_send(rest) :]
        finally:
            watcher.stop()
            watcher.close()

    def _try_send(self, rest: memoryview) -> int:
        try:
            return self._send(rest)
        except BlockingIOError:
            return 0

    def _on_writable(self) -> None:
        if self._waiter is not None:
            self._waiter.switch(None)

    def _arm(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer_due_ns = due_ns
        self._timer = self._hub.loop.timer(max(0.0, (due_ns - perf_counter_ns()) / NS_PER_S))
        self._timer.start(self._on_timer)

    def _on_timer(self) -> None:
        self._timer_due_ns = NEVER
        if self._waiter is not None and perf_counter_ns() >= self._deadline_ns:
            self._on_readable()  # when the loop itself runs late, data that has arrived is not late
        if self._waiter is None:
            return
        if perf_counter_ns() >= self._deadline_ns:
            self._waiter.throw(ReadTimeoutError("timed out: the server was silent for too long"))
        else:
            self.limit(self._deadline_ns)


def has_been_closed(error: OSError) -> bool:
    """Tell whether `error` says that the peer ended the connection, rather than that the network failed."""
    return error.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
