"""The live page's application: one page, one stream of events, and the files of closed runs.

GET /                    the page
GET /events              server-sent events, one a second; continues after `Last-Event-ID`
GET /state               what the page shows, as JSON, without points
GET /live                the newest snapshot (`loadstone.domain.live.LiveSnapshot`), null before the first run
GET /runs/ID/FILE        a file of a closed run

The page loads nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.charts.page import live_page
from loadstone.collector.live.board import FILES
from loadstone.domain.web_access import SECURITY_HEADERS, WebRequest, refusal
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from loadstone.charts.page_data import LiveHead
    from loadstone.collector.live.board import LiveBoard
    from loadstone.domain.web_access import AllowedHosts

__all__ = ["Changes", "live_app"]

_ALIVE_EVERY_S: Final = 10.0
_RETRY_MS: Final = 1000
_MOST_STREAMS: Final = 100
"""Fewer than connections, so that there is always room for a page, which says that it is not connected."""
_METHODS: Final = ("GET", "HEAD")
_JSON: Final = "application/json"
_LONGEST_NUMBER: Final = 18
_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


class Changes:
    """Tells all streams in the server's event loop that the board has changed, or that the server ends."""

    def __init__(self) -> None:
        self.closing = False
        self._changed = asyncio.Event()

    def now(self) -> asyncio.Event:
        """What is set at the next change after this call."""
        return self._changed

    def tell(self) -> None:
        """The board has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """The server ends."""
        self.closing = True
        self.tell()


def live_app(board: LiveBoard, results: Path, hosts: AllowedHosts, changes: Changes) -> ASGIApp:
    """The application, behind its guard."""
    page = live_page().encode()
    streams = _Streams(board, changes)

    async def show_page(_request: Request) -> Response:
        return Response(page, media_type="text/html")

    async def state(_request: Request) -> Response:
        return Response(msgspec.json.encode(board.head() or {}), media_type=_JSON)

    async def live(_request: Request) -> Response:
        return Response(msgspec.json.encode(board.live()), media_type=_JSON)

    def file(request: Request) -> Response:
        return _file(results, request.path_params["run"], request.path_params["name"])

    paths = {"/": show_page, "/events": streams.open, "/state": state, "/live": live, "/runs/{run}/{name}": file}
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    app.router.redirect_slashes = False
    return _Guard(app, hosts)


class _Guard:
    """Refuses what no page of this server asks for, and gives every answer its security headers."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refused(scope) or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope["method"]
        if method not in _METHODS:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "This page is only read.", Allow=", ".join(_METHODS))
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            return _plain(HTTPStatus.BAD_REQUEST, "A request for this page has no body.", Connection="close")
        request = WebRequest(
            method=method,
            host=headers.get("host", ""),
            origin=headers.get("origin", ""),
            fetch_site=headers.get("sec-fetch-site", ""),
            fetch_mode=headers.get("sec-fetch-mode", ""),
            fetch_dest=headers.get("sec-fetch-dest", ""),
        )
        reason = refusal(request, self._hosts)
        return _plain(HTTPStatus.FORBIDDEN, reason) if reason else None


def _plain(status: HTTPStatus, text: str, **headers: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


def _file(results: Path, run: str, name: str) -> Response:
    folder = RunFolder(results / run)
    path = folder.path / name
    is_plain = run not in {"", ".", ".."} and "/" not in run and "\0" not in run
    with contextlib.suppress(OSError):  # of a name that is too long, for example
        if is_plain and name in FILES and folder.is_closed and path.is_file():
            return _whole_file(folder, path)
    raise HTTPException(HTTPStatus.NOT_FOUND)


def _whole_file(folder: RunFolder, path: Path) -> Response:
    try:
        ClosedRun.open(folder).file(path)
    except ArchiveError as error:
        return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, f"Damaged: {error}")
    return FileResponse(path, stat_result=path.stat(), media_type=FILES[path.name])


class _Streams:
    """The streams of events. A page that reads slowly gets fewer and larger messages; nothing is queued for it."""

    def __init__(self, board: LiveBoard, changes: Changes) -> None:
        self._board = board
        self._changes = changes
        self._open = 0

    async def open(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._open >= _MOST_STREAMS:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._open} pages are open, which is the limit.")
        return StreamingResponse(self._messages(_seen(request)), media_type="text/event-stream")

    async def _messages(self, seen: tuple[str, int]) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            async for message in self._changed(seen):
                yield message
        finally:
            self._open -= 1

    async def _changed(self, seen: tuple[str, int]) -> AsyncIterator[bytes]:
        last: LiveHead | None = None
        yield b"retry: %d\n\n" % _RETRY_MS
        if not self._board.head():
            yield b"event: waiting\ndata: {}\n\n"
        while not self._changes.closing:
            change = self._changes.now()
            message = self._board.message(seen, last)
            if message is not None:
                seen, last = (message.source, message.number), message.head
                yield b"id: %s/%d\ndata: %s\n\n" % (message.source.encode(), message.number, message.text)
            elif not await _set_within(change, _ALIVE_EVERY_S):
                yield b": alive\n\n"


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


def _seen(request: Request) -> tuple[str, int]:
    """Source and number of the last event that a page has got."""
    source, _, number = request.headers.get("last-event-id", "").rpartition("/")
    return source, int(number) if number.isdecimal() and len(number) < _LONGEST_NUMBER else 0
