"""The live page's server: one page, one stream of events, and the files of closed runs. The page loads nothing else.

GET /                    the page
GET /events              server-sent events, one a second; continues after `Last-Event-ID`
GET /state               what the page shows, as JSON, without points
GET /live                the newest snapshot (`loadstone.domain.live.LiveSnapshot`), null before the first run
GET /runs/ID/FILE        a file of a closed run
"""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.charts.page import live_page
from loadstone.collector.live.board import FILES, LiveBoard
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.charts.page_data import LiveHead

__all__ = ["LiveServer", "serving"]

_ALIVE_EVERY_S: Final = 10.0
_RETRY_MS: Final = 1000
_BLOCK: Final = 256 * 1024
log = logging.getLogger("loadstone.live")


class LiveServer(ThreadingHTTPServer):
    """Serves a `LiveBoard` and the folder of results. Threads end with the process."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], board: LiveBoard, results: Path) -> None:
        super().__init__(address, _Handler)
        self.board = board
        self.results = results
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, unless the page was closed before it got its answer."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            log.error("live_page=failed client=%s request=%r error=%r", client_address, request, error)


@contextmanager
def serving(bind: str, port: int | None, results: Path) -> Iterator[LiveBoard | None]:
    """A board that is served while the context lasts; None without a port, or when the port is taken (logged)."""
    if port is None:
        yield None
        return
    try:
        server = LiveServer((bind, port), LiveBoard(), results)
    except OSError as error:
        log.error("live_page=no address=%s:%d error=%r", bind, port, str(error))  # noqa: TRY400  (the cause is enough)
        yield None
        return
    threading.Thread(target=server.serve_forever, name="live-page", daemon=True).start()
    log.info("live_page=http://%s:%d/", *server.server_address[:2])
    try:
        yield server.board
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    protocol_version = "HTTP/1.0"  # an answer ends when its connection does
    server_version = "loadstone"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == [""]:
            self._send(live_page().encode(), "text/html; charset=utf-8")
        elif parts == ["events"]:
            self._stream()
        elif parts == ["state"]:
            self._send(msgspec.json.encode(self.server.board.head() or {}), "application/json")
        elif parts == ["live"]:
            self._send(msgspec.json.encode(self.server.board.live()), "application/json")
        elif parts[0] == "runs" and len(parts) == len(("runs", "id", "file")):
            self._send_file(unquote(parts[1]), parts[2])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        """Write no line for each request."""

    def _head(self, kind: str, **headers: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _send(self, body: bytes, kind: str) -> None:
        self._head(kind, Content_Length=str(len(body)))
        self.wfile.write(body)

    def _send_file(self, run: str, name: str) -> None:
        folder = RunFolder(self.server.results / run)
        path = folder.path / name
        is_plain = run not in {"", ".", ".."} and "/" not in run and "\0" not in run
        if not (is_plain and name in FILES and folder.is_closed and path.is_file()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            ClosedRun.open(folder).file(path)
        except ArchiveError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "Damaged", str(error))
            return
        self._head(FILES[name], Content_Length=str(path.stat().st_size))
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                self.wfile.write(block)

    def _stream(self) -> None:
        self._head("text/event-stream")
        source, _, number = self.headers.get("Last-Event-ID", "").rpartition("/")
        seen = (source, int(number) if number.isdigit() else 0)
        last: LiveHead | None = None
        self._write(f"retry: {_RETRY_MS}\n\n")
        if not self.server.board.head():
            self._write("event: waiting\ndata: {}\n\n")
        while not self.server.closing.is_set():
            message = self.server.board.next_message(seen, last, _ALIVE_EVERY_S)
            if message is None:
                self._write(": alive\n\n")
                continue
            seen, last = (message.source, message.number), message.head
            self._write(f"id: {message.source}/{message.number}\ndata: {message.text}\n\n")

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()
