"""A counting HTTP/1.1 server, a program of its own: what a load generator claims to have sent is checked against it.

Run ``python tests/support/http_server.py --port N``; support.counting_server starts and asks it from a test. A request
is counted when its last byte has arrived, by method and path (without the query), whatever becomes of the answer; a
connection is counted with its first request.

==================  ===========================================================================================
``/status/CODE``    answers with that status
``/slow?ms=N``      answers after N ms
``/bytes/N``        answers with N bytes
``/fail?share=S``   answers 500 to exactly the share S of its requests, evenly spread
``/crowded?most=N`` answers 503 while more than N connections are in use; N is a setting where it is not given
``/hurried?most=N`` answers 503 while it is asked more than N times a second; N is that setting where it is not given
``/echo``           answers with the request's body
``/reset``          cuts the connection instead of answering
``/hang``           never answers
``/__count__``      the counts as JSON; not counted itself, nor are the next two
``/__reset__``      sets all counts to zero
``/__settings__``   POST ``{"latency_ms": 5, "failures": {"/predict": 0.1}, "most": 30}``: a delay for all, failing
                    shares by path, and what ``/crowded`` and ``/hurried`` let in
anything else       200 with ``{"ok":true}``
==================  ===========================================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import ssl
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]  # twice as fast, and not needed

OK_BODY = b'{"ok":true}'
BACKLOG = 4096
HURRIED_OVER_S = 2.0


class Head(NamedTuple):
    """What the server needs of a request's head."""

    method: str
    path: str
    query: str
    body_bytes: int
    keep_alive: bool


class Answer(NamedTuple):
    """What is sent back, after ``delay_s``; ``cut`` drops the connection, a negative delay never answers."""

    status: int = 200
    body: bytes = OK_BODY
    delay_s: float = 0.0
    cut: bool = False


@dataclass
class State:
    """The counts and the settings, shared by all connections."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    connections: int = 0
    open_connections: int = 0
    latency_s: float = 0.0
    failures: dict[str, float] = field(default_factory=dict)
    most: float = 0.0
    asked_s: deque[float] = field(default_factory=deque)
    """When ``/hurried`` was asked lately, by the clock of the event loop."""

    def is_hurried(self, most_per_s: float) -> bool:
        """Take in a request for ``/hurried``; whether there were more than so many a second lately, and one beside."""
        now_s = asyncio.get_running_loop().time()
        self.asked_s.append(now_s)
        while self.asked_s[0] <= now_s - HURRIED_OVER_S:
            self.asked_s.popleft()
        return len(self.asked_s) > HURRIED_OVER_S * most_per_s + 1

    def as_json(self) -> bytes:
        """Return the counts for ``/__count__``."""
        counts: dict[str, Any] = {
            "total": self.requests.total(),
            "requests": self.requests,
            "statuses": self.statuses,
            "connections": self.connections,
            "open_connections": self.open_connections,
        }
        return json.dumps(counts).encode()

    def reset(self) -> None:
        """Set all counts to zero; connections that are open stay open and are not counted again."""
        self.requests.clear()
        self.statuses.clear()
        self.connections = 0

    def configure(self, body: bytes) -> None:
        """Take over the given settings; those that are not named stay."""
        settings = json.loads(body)
        self.latency_s = float(settings.get("latency_ms", self.latency_s * 1e3)) / 1e3
        self.failures = settings.get("failures", self.failures)
        self.most = float(settings.get("most", self.most))


@lru_cache(maxsize=4096)  # load generators send the same heads over and over
def parse_head(head: bytes) -> Head:
    """Read a request's head; the blank line is not part of it."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = request_line.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise ValueError("this test server takes no chunked bodies")
    default = "keep-alive" if version == "HTTP/1.1" else "close"
    keep_alive = headers.get("connection", default).lower() != "close"
    url = urlsplit(target)
    return Head(method, url.path, url.query, int(headers.get("content-length", "0")), keep_alive)


@lru_cache(maxsize=1024)
def parse_query(query: str, key: str, default: float) -> float:
    """Return one number of a query string."""
    return float(parse_qs(query).get(key, [default])[0])


def falls_in_share(count: int, share: float) -> bool:
    """Tell whether the ``count``-th request (from 1) fails: exactly ``share`` of all do, evenly spread."""
    tiny = 1e-9  # 0.29 * 100 is 28.999...
    return int(count * share + tiny) > int((count - 1) * share + tiny)


def special_answer(head: Head, body: bytes, count: int) -> Answer:
    """Answer the paths of the table above; ``count`` is how many requests this path has had."""
    first, _, rest = head.path[1:].partition("/")
    answer = Answer()
    match first:
        case "status":
            answer = Answer(status=int(rest))
        case "bytes":
            answer = Answer(body=b"x" * int(rest))
        case "slow":
            answer = Answer(delay_s=parse_query(head.query, "ms", 0.0) / 1e3)
        case "fail":
            answer = Answer(status=500 if falls_in_share(count, parse_query(head.query, "share", 0.0)) else 200)
        case "echo":
            answer = Answer(body=body)
        case "reset":
            answer = Answer(cut=True)
        case "hang":
            answer = Answer(delay_s=-1.0)
    return answer


@lru_cache(maxsize=1024)
def encode_head(status: int, body_bytes: int, *, keep_alive: bool) -> bytes:
    """Return the bytes of a response's head."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    connection = "keep-alive" if keep_alive else "close"
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {body_bytes}\r\nConnection: {connection}\r\n\r\n"
    ).encode()


class Connection(asyncio.Protocol):
    """One client connection; its requests are answered in order, so a delayed answer holds the next ones up."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.waiting = False
        self.counted = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back to the client."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.state.open_connections -= self.counted

    def data_received(self, data: bytes) -> None:
        """Take bytes in and answer every request that is complete."""
        self.buffer += data
        self.work()

    def work(self) -> None:
        """Answer the complete requests in the buffer, up to one whose answer has to wait."""
        while not self.waiting:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = parse_head(self.buffer[:end])
            body_end = end + 4 + head.body_bytes
            if len(self.buffer) < body_end:
                return
            body = self.buffer[end + 4 : body_end]
            self.buffer = self.buffer[body_end:]
            self.handle(head, body)

    def handle(self, head: Head, body: bytes) -> None:
        """Count one request and answer it, now or later."""
        if head.path.startswith("/__"):
            self.send(head, self.control(head, body))
            return
        self.count(head)
        answer = self.answer(head, body)
        if answer.delay_s == 0:
            self.send(head, answer)
            return
        self.waiting = True
        if answer.delay_s > 0:
            asyncio.get_running_loop().call_later(answer.delay_s, self.send_late, head, answer)

    def count(self, head: Head) -> None:
        """Count a request, and its connection with the first one."""
        self.state.requests[f"{head.method} {head.path}"] += 1
        if not self.counted:
            self.counted = True
            self.state.connections += 1
            self.state.open_connections += 1

    def control(self, head: Head, body: bytes) -> Answer:
        """Answer one of the three paths about the server itself."""
        if head.path == "/__reset__":
            self.state.reset()
        elif head.path == "/__settings__":
            self.state.configure(body)
        return Answer(body=self.state.as_json())

    def answer(self, head: Head, body: bytes) -> Answer:
        """Decide on the answer to a counted request."""
        state = self.state
        count = state.requests[f"{head.method} {head.path}"]
        answer = special_answer(head, body, count)
        if head.path == "/crowded" and state.open_connections > parse_query(head.query, "most", state.most):
            answer = answer._replace(status=503)
        if head.path == "/hurried" and state.is_hurried(parse_query(head.query, "most", state.most)):
            answer = answer._replace(status=503)
        if head.path in state.failures and falls_in_share(count, state.failures[head.path]):
            answer = answer._replace(status=500)
        return answer._replace(delay_s=answer.delay_s + state.latency_s) if answer.delay_s >= 0 else answer

    def send_late(self, head: Head, answer: Answer) -> None:
        """Send an answer that had to wait, then go on with what came in meanwhile."""
        self.waiting = False
        if not self.transport.is_closing():
            self.send(head, answer)
            self.work()

    def send(self, head: Head, answer: Answer) -> None:
        """Write the answer, or cut the connection."""
        if answer.cut:
            self.transport.abort()
            return
        if not head.path.startswith("/__"):
            self.state.statuses[answer.status] += 1
        head_bytes = encode_head(answer.status, len(answer.body), keep_alive=head.keep_alive)
        self.transport.write(head_bytes if head.method == "HEAD" else head_bytes + answer.body)
        if not head.keep_alive:
            self.transport.close()


async def serve(port: int, state: State, pem: str | None) -> None:
    """Serve on a loopback port until the program is ended."""
    tls = None
    if pem:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pem)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=BACKLOG, ssl=tls)
    await server.serve_forever()


def main() -> None:
    """Read the options and serve; uvloop where it is installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--pem", help="certificate and key in one file: serve HTTPS")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop_factory = uvloop.new_event_loop if uvloop else asyncio.new_event_loop
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(options.port, State(latency_s=options.latency_ms / 1e3), options.pem))


if __name__ == "__main__":
    main()
