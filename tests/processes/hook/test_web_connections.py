"""Locust's web UI in `up` and in the stack takes a bounded number of connections, and waits for no client for ever."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event
import gevent.socket
import gevent.ssl
import psutil
import pytest
from cryptography.x509 import DNSName

from loadstone.hook.web_connections import Connections, LimitedServer
from support.locust_master import LocustMaster, locust_master
from support.processes import wait_in_greenlet, wait_until
from support.redis_server import RedisServer
from support.tls_server import issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHECK_EVERY_S = 0.3
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MOST = 200
"""Connections of a master (`loadstone.hook.web_connections`)."""
OTHER_FILES = 50
"""More than a master has open itself."""
HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b",
    "half a body": b"POST /swarm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nuser",
    "half a body of its own page": b"POST /swarm HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nuser_count=1&",
}


@pytest.fixture
def master(tmp_path: Path, valkey_binary: Path) -> Iterator[LocustMaster]:
    """Guarded as in `loadstone up` and the compose stack."""
    with ExitStack() as stack:
        valkey = RedisServer(valkey_binary, tmp_path).start()
        stack.callback(valkey.close)
        yield stack.enter_context(locust_master(tmp_path, valkey.url, worker=False, web_guard="all"))


def connect(master: LocustMaster, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", master.port), timeout=60)
    connection.sendall(said)
    return connection


@contextmanager
def served(app: Callable[..., Any], most: int = 20, **options: Any) -> Iterator[LimitedServer]:
    """The server by itself, in this process."""
    connections = Connections(most, CHECK_EVERY_S)
    server = LimitedServer(("127.0.0.1", 0), app, connections=connections, log=None, error_log=None, **options)
    server.start()
    yield server
    server.stop(timeout=0)


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def slow(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """It thinks for several checks, and streams for several more."""
    gevent.sleep(5 * CHECK_EVERY_S)
    start_response("200 OK", [])
    for _ in range(5):
        yield b"more"
        gevent.sleep(CHECK_EVERY_S)


def endless(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"x" * 10_000_000]


def say(server: LimitedServer, *parts: bytes, every_s: float = 0.0) -> Any:
    """A connection on which this is said."""
    connection = gevent.socket.create_connection(("127.0.0.1", server.server_port), timeout=20)
    for part in parts:
        connection.sendall(part)
        gevent.sleep(every_s)
    return connection


def rest(connection: Any) -> bytes:
    """All that the server says until it ends the connection."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


@pytest.mark.attack(
    "1,500 requests to Locust's web UI that never end", "it answers; connections are bounded and closed"
)
def test_half_requests_cost_a_bounded_number_of_connections(master: LocustMaster):
    process, halves = psutil.Process(master.pid), [*HALVES.values()]
    with ExitStack() as stack:
        for number in range(1500):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=60))
            connection.sendall(halves[number % len(halves)])
            if number % 500 == 499:
                assert master.ask("GET", "/", {"Connection": "close"}).status_code == 200
        wait_until(lambda: process.num_fds() <= MOST + OTHER_FILES, "the oldest connections are closed")
        assert master.ask("GET", "/stats/requests", {"Connection": "close"}).status_code == 200
        wait_until(lambda: process.num_fds() <= OTHER_FILES, "half requests are closed in time", timeout_s=60)


@pytest.mark.attack("a client of Locust's web UI that says no more", "its connection is closed in time")
@pytest.mark.parametrize("half", HALVES)
def test_a_half_request_is_closed_in_time_without_an_answer(half: str):
    with served(hello) as server, say(server, HALVES[half]) as connection:
        assert rest(connection) == b""
        wait_in_greenlet(lambda: not server.connections.greenlets, "it is forgotten")


@pytest.mark.attack("a client of Locust's web UI that sends a byte at a time", "its connection is closed in time")
def test_a_head_that_trickles_in_is_closed_in_time():
    with served(hello) as server, say(server) as connection:
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012  (whichever byte is too late)
            for _ in range(100):
                connection.sendall(b"G")
                gevent.sleep(0.1)
        assert rest(connection) == b""


def test_a_body_may_take_its_time_while_something_comes():
    parts = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n", *[b"x"] * 10]
    with served(hello) as server, say(server, *parts, every_s=CHECK_EVERY_S / 2) as connection:
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_an_answer_may_take_as_long_as_it_likes():
    with served(slow) as server, say(server, GET) as connection:
        assert rest(connection).count(b"more") == 5


def test_an_idle_connection_is_closed_and_serves_several_requests_before():
    with served(hello) as server, say(server, GET, GET, GET, every_s=CHECK_EVERY_S / 2) as connection:
        assert rest(connection).count(b"hello") == 3


@pytest.mark.attack("a client of Locust's web UI that reads no answer", "its connection is closed in time")
def test_an_answer_that_nobody_reads_ends(capsys: pytest.CaptureFixture[str]):
    with served(endless) as server, say(server, GET):
        wait_in_greenlet(lambda: bool(server.connections.greenlets), "it is answered")
        wait_in_greenlet(lambda: not server.connections.greenlets, "it is closed")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.attack(
    "connections to Locust's web UI that never shake hands (TLS)", "closed in time; others are answered"
)
def test_half_handshakes_are_limited_too(tmp_path: Path):
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    certificate, key = issue(tmp_path, DNSName("localhost"))
    context.load_cert_chain(certificate, key)
    with served(hello, most=5, ssl_context=context) as server, ExitStack() as stack:
        silent = [stack.enter_context(say(server, b"\x16\x03")) for _ in range(20)]
        wait_in_greenlet(lambda: len(server.connections) <= 5, "the oldest are closed")
        trusting = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        trusting.load_verify_locations(certificate)
        connection = trusting.wrap_socket(say(server), server_hostname="localhost")
        connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        with connection:
            assert rest(connection).endswith(b"hello")
        assert [rest(connection) for connection in silent] == [b""] * 20


def test_a_connection_that_is_given_up_as_it_hears_something_answers_nothing():
    """Otherwise it would be ended in the middle of a request."""
    connections, heard, answered = Connections(1, CHECK_EVERY_S), gevent.event.Event(), []

    def serve(*_connection: Any) -> None:
        with connections.waiting(0.0):
            heard.wait()
        answered.append("a request")

    greenlet = connections.spawn(serve, None, lambda *_: None, ())
    gevent.sleep(0)
    heard.set()
    assert connections.make_room()
    greenlet.join(timeout=5)
    assert greenlet.dead
    assert answered == []


def test_one_more_than_all_that_are_answered_is_turned_away():
    with served(slow, most=2) as server, ExitStack() as stack:
        answered = [stack.enter_context(say(server, GET, every_s=0.1)) for _ in range(2)]
        with say(server, GET) as turned_away:
            assert rest(turned_away) == b""
        assert [rest(connection).count(b"more") for connection in answered] == [5, 5]
