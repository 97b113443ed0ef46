"""Scenarios that every user class plays against the same server, and what each class makes of them.

`play` gives an `Outcome`: what the scenario saw, what listeners saw, and what statistics counted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.env import Environment
from locust.stats import StatsError

from support.raw_server import Step, reset

if TYPE_CHECKING:
    from locust import User

    from support.raw_server import RawServer

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TIMEOUTS: Final = {"HttpUser": {}, "FastHttpUser": {"network_timeout": 20.0, "connection_timeout": 20.0}}

Scenario = Callable[[Any], Any]
"""Uses a user's client; what it returns is the response that is compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one class made of one scenario; ``failure`` is the text under which Locust groups it, "" for a success."""

    status: int
    content: bytes
    requests: int
    failure: str
    length: int
    name: str
    method: str
    connections: int = 0


def play(user_class: type[User], url: str, scenario: Scenario) -> Outcome:
    """Play ``scenario`` with a fresh user of a subclass of ``user_class``."""
    environment = Environment()
    runner = environment.create_local_runner()
    seen: list[dict[str, Any]] = []
    environment.events.request.add_listener(lambda **keywords: seen.append(keywords))
    attributes = {"host": url, "abstract": False, **TIMEOUTS.get(user_class.__name__, TIMEOUTS["FastHttpUser"])}
    user: Any = type("Conforming", (user_class,), attributes)(environment)
    try:
        response = scenario(user.client)
        last = seen[-1]
        return Outcome(
            status=int(response.status_code or 0),
            content=bytes(response.content or b""),
            requests=environment.stats.total.num_requests,
            failure=StatsError.parse_error(last["exception"]) if last["exception"] else "",
            length=last["response_length"],
            name=last["name"],
            method=last["request_type"],
        )
    finally:
        close(user.client)
        runner.quit()


def close(client: Any) -> None:
    """Close what the client of any of the three classes keeps open."""
    (client.client.clientpool if hasattr(client, "client") else client).close()


def get(client: Any) -> Any:
    """Get the root."""
    return client.get("/")


def post(client: Any) -> Any:
    """Post a little JSON to the root."""
    return client.post("/", json={"a": 1})


def get_twice(client: Any) -> Any:
    """Get the root twice; the second response is compared."""
    client.get("/")
    return client.get("/")


def get_later(client: Any) -> Any:
    """Get the root twice with a pause, in which the server can end the connection; the second one is compared."""
    client.get("/")
    gevent.sleep(0.1)
    return client.get("/")


def caught(client: Any, path: str, judge: Callable[[Any], None]) -> Any:
    """Get ``path`` and let ``judge`` decide about it inside a with block."""
    with client.get(path, catch_response=True) as response:
        judge(response)
    return response


WELL_BEHAVED: Final[dict[str, Scenario]] = {
    "GET": lambda client: client.get("/big/100"),
    "GET with a name": lambda client: client.get("/big/100", name="named"),
    "GET with query": lambda client: client.get("/big/7?a=1"),
    "HEAD": lambda client: client.head("/big/100"),
    "OPTIONS": lambda client: client.options("/big/1"),
    "DELETE": lambda client: client.delete("/big/1"),
    "POST of nothing": lambda client: client.post("/big/2"),
    "POST of JSON": lambda client: client.post("/body", json={"a": [1, None, "ü"]}),
    "POST of a form": lambda client: client.post("/body", data={"a": "1 2", "b": "ü"}),
    "POST of bytes": lambda client: client.post("/body", data=b"\x00\xff"),
    "PUT of text": lambda client: client.put("/body", data="text"),
    "PATCH of JSON": lambda client: client.patch("/body", json=[1]),
    "status 201": lambda client: client.get("/status/201"),
    "status 204": lambda client: client.get("/status/204"),
    "status 304": lambda client: client.get("/status/304"),
    "status 404": lambda client: client.get("/status/404"),
    "status 500": lambda client: client.get("/status/500"),
    "redirect 302": lambda client: client.get("/redirect/302/big/5"),
    "redirect 302 of a POST": lambda client: client.post("/redirect/302/body", data="x"),
    "redirect 307 of a POST": lambda client: client.post("/redirect/307/body", data="x"),
    "redirect not followed": lambda client: client.get("/redirect/302/big/5", allow_redirects=False),
    "redirects without end": lambda client: client.get("/loop"),
    "gzip": lambda client: client.get("/encoded/gzip"),
    "deflate": lambda client: client.get("/encoded/deflate"),
    "br": lambda client: client.get("/encoded/br"),
    "chunked": lambda client: client.get("/stream"),
    "Connection: close": lambda client: client.get("/close"),
    "a large body": lambda client: client.get("/big/2000000"),
    "404 made a success": lambda client: caught(client, "/status/404", lambda response: response.success()),
    "200 made a failure": lambda client: caught(client, "/big/1", lambda response: response.failure("wrong")),
    "404 left as it is": lambda client: caught(client, "/status/404", lambda _: None),
    "stream of known length": lambda client: client.get("/big/100", stream=True),
}


Played = tuple[Scenario, list[list[Step]]]
"""A scenario, and what the server plays on each connection."""


def misbehaviours(raw: RawServer) -> dict[str, Played]:
    """Give each misbehaviour by its name."""

    def answer(*steps: Step, scenario: Scenario = get) -> Played:
        return scenario, [[raw.take, *steps]]

    return {**_lengths(answer), **_oddities(answer, raw.take)}


def _lengths(answer: Callable[..., Played]) -> dict[str, Played]:
    """Bodies that end too early, too late, or at a place that nobody can know."""
    return {
        "slow drip": answer(*[step for byte in OK for step in (bytes([byte]), 0.002)]),
        "early close, no byte": answer(),
        "early close, no byte, POST": answer(scenario=post),
        "early close in the head": answer(OK[:20]),
        "early close in the body": answer(OK[:-1]),
        "early close in a chunk": answer(CHUNKED + b"5\r\nab"),
        "early close before the last chunk": answer(CHUNKED + b"2\r\nok\r\n"),
        "reset": answer(reset),
        "length too short": answer(OK + b"more"),
        "length too long": answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        "no length": answer(b"HTTP/1.1 200 OK\r\n\r\nok"),
        "negative length": answer(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok"),
        "length of letters": answer(b"HTTP/1.1 200 OK\r\nContent-Length: xx\r\n\r\nok"),
        "two different lengths": answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nok"),
        "bad chunk size": answer(CHUNKED + b"zz\r\nok\r\n0\r\n\r\n"),
    }


def _oddities(answer: Callable[..., Played], take: Step) -> dict[str, Played]:
    """Heads that are odd, and connections that are used for longer than one answer."""
    return {
        "huge headers": answer(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000 + b"Content-Length: 2\r\n\r\nok"),
        "one huge header": answer(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nok"),
        "100 first": answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
        "103 first": answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK),
        "204 with a body": answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"),
        "304 with a body": answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok"),
        "HEAD with a body": answer(OK, scenario=lambda client: client.head("/")),
        "garbage after the response": (get_twice, [[take, OK + b"garbage", take, OK], [take, OK]]),
        "a pipelined second response": (get_twice, [[take, OK + OK[:-2] + b"no", take, OK], [take, OK]]),
        "half-closed after the response": (
            get_later,
            [[take, OK, lambda sock: sock.shutdown(socket.SHUT_WR), 0.2], [take, OK]],
        ),
        "stale connection, GET": (get_twice, [[take, OK, take], [take, OK]]),
        "stale connection, POST": (lambda client: (client.get("/"), post(client))[1], [[take, OK, take], [take, OK]]),
        "not HTTP": answer(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        "HTTP/1.0": answer(b"HTTP/1.0 200 OK\r\n\r\nok"),
        "no reason phrase": answer(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        "lines end in LF": answer(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        "folded header": answer(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
        "NUL in a header": answer(b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\nok"),
        "broken gzip": answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
        "unknown encoding": answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 2\r\n\r\nok"),
    }
