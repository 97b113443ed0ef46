"""A bare ASGI application that shows what it was sent; served by uvicorn in the tests."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli

PLAIN = b"a body that is long enough to be worth compressing " * 20
ENCODED = {"gzip": gzip.compress(PLAIN, mtime=0), "deflate": zlib.compress(PLAIN), "br": brotli.compress(PLAIN)}


async def read_body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def respond(send: Any, status: int = 200, body: bytes = b"", headers: Any = ()) -> None:
    length = [] if status in (204, 304) else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, body: bytes, send: Any) -> None:
    shown = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
        "port": scope["client"][1],
    }
    await respond(send, body=json.dumps(shown).encode(), headers=[(b"content-type", b"application/json")])


async def stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for number in range(20):
        await send({"type": "http.response.body", "body": f"line {number}\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer by the first part of the path; anything unknown is shown what it sent."""
    body = await read_body(receive)
    kind, _, rest = scope["path"][1:].partition("/")
    if kind == "body":
        await respond(send, body=body)
    elif kind == "stream":
        await stream(send)
    elif kind in ANSWERS:
        status, content, headers = ANSWERS[kind](rest)
        await respond(send, status, content, headers)
    else:
        await echo(scope, body, send)


def redirect(rest: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Redirect as ``STATUS/LOCATION`` says."""
    status, _, location = rest.partition("/")
    return int(status), b"", [(b"location", f"/{location}".encode())]


COOKIES = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; Path=/; Max-Age=1000")]
ANSWERS: dict[str, Any] = {
    "status": lambda rest: (int(rest), b"", []),
    "redirect": redirect,
    "loop": lambda _: (302, b"", [(b"location", b"/loop")]),
    "encoded": lambda rest: (200, ENCODED[rest], [(b"content-encoding", rest.encode())]),
    "close": lambda _: (200, b"bye", [(b"connection", b"close")]),
    "cookies": lambda _: (200, b"set", COOKIES),
    "big": lambda rest: (200, b"x" * int(rest), []),
    "latin": lambda _: (200, "café".encode("latin-1"), [(b"content-type", b"text/plain; charset=latin-1")]),
}
"""What a path answers: status, body and header fields, made of the rest of the path."""
