"""A server on raw sockets that sends exactly what a test says, at the time it says, and misbehaves on purpose."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

Step = bytes | float | Callable[[socket.socket], object]
"""Bytes to send, seconds to sleep, or something to do with the socket."""
_PATIENCE_S: Final = 30.0


def reset(sock: socket.socket) -> None:
    """A step: close with a reset instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class RawServer:
    """Plays a script on each connection, in a thread of its own, and then closes it.

    Serves TLS with ``context``. ``requests`` holds what `take` has read, ``connections`` counts the accepted ones.
    """

    def __init__(self, family: int = socket.AF_INET, context: ssl.SSLContext | None = None) -> None:
        self.scripts: list[list[Step]] = []
        self.requests: list[bytes] = []
        self.server_names: list[str | None] = []
        self.connections = 0
        self._context = context
        self._stopping = False
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{'[::1]' if family == socket.AF_INET6 else '127.0.0.1'}:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def answers(self, *scripts: list[Step]) -> str:
        """Set what each connection in turn is answered, the last one for all that follow; return the URL."""
        self.scripts = list(scripts)
        return self.url

    def take(self, sock: socket.socket) -> None:
        """A step: read one request, head and body, and remember it."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += self._receive(sock)
        self.requests.append(head + b"\r\n\r\n" + body)

    def take_rest(self, sock: socket.socket) -> None:
        """A step: read until the client closes, so that nothing unread turns this end's closing into a reset."""
        while sock.recv(65_536):
            pass

    def stop(self) -> None:
        """Accept no more connections."""
        self._stopping = True
        with socket.socket(self._listener.family) as waker:
            waker.connect(self._listener.getsockname()[:2])
        self._acceptor.join(_PATIENCE_S)
        self._listener.close()

    def _receive(self, sock: socket.socket) -> bytes:
        data = sock.recv(65_536)
        if not data:
            raise OSError("the client has closed the connection")
        return data

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, script), daemon=True).start()

    def _serve(self, sock: socket.socket, script: list[Step]) -> None:
        try:
            sock.settimeout(_PATIENCE_S)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            for step in script:
                self._play(sock, step)
        except OSError:
            pass  # the client went away, which is often what the test is about
        finally:
            sock.close()

    def _play(self, sock: socket.socket, step: Step) -> None:
        if isinstance(step, bytes):
            sock.sendall(step)
        elif callable(step):
            step(sock)
        else:
            time.sleep(step)
