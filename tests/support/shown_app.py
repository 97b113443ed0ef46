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
    path, body = scope["path"], await read_body(receive)
    kind, _, rest = path[1:].partition("/")
    if kind == "status":
        await respond(send, int(rest))
    elif kind == "redirect":
        status, _, location = rest.partition("/")
        await respond(send, int(status), headers=[(b"location", f"/{location}".encode())])
    elif kind == "loop":
        await respond(send, 302, headers=[(b"location", b"/loop")])
    elif kind == "encoded":
        await respond(send, body=ENCODED[rest], headers=[(b"content-encoding", rest.encode())])
    elif kind == "stream":
        await stream(send)
    elif kind == "close":
        await respond(send, body=b"bye", headers=[(b"connection", b"close")])
    elif kind == "cookies":
        fields = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; Path=/; Max-Age=1000")]
        await respond(send, body=b"set", headers=fields)
    elif kind == "big":
        await respond(send, body=b"x" * int(rest))
    elif kind == "latin":
        await respond(send, body="café".encode("latin-1"), headers=[(b"content-type", b"text/plain; charset=latin-1")])
    else:
        await echo(scope, body, send)
