"""Connections of the client: refused, stale, closed while idle or in mid-request, shared, over IPv6."""

from __future__ import annotations

import socket
from select import select
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from support.processes import free_port, wait_in_greenlet, wait_until

if TYPE_CHECKING:
    from support.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_many_requests_on_one_connection_outlive_the_lazy_timer(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([step for _ in range(30) for step in (raw.take, 0.01, OK)]), network_timeout=0.08)
    assert [client.get("/").content for _ in range(30)] == [b"ok"] * 30
    assert raw.connections == 1


def test_a_connection_refused_is_the_system_s_error(make_user: Any):
    user = make_user(f"http://127.0.0.1:{free_port()}")
    user.client.get("/")
    assert repr(user.environment.seen[-1]["exception"]) == "ConnectionRefusedError(111, 'Connection refused')"


def test_a_host_without_address_fails_as_a_request(make_user: Any):
    user = make_user("http://no-such-host.invalid")
    assert user.client.get("/").status_code == 0
    assert type(user.environment.seen[-1]["exception"]).__name__ == "gaierror"


def test_a_server_that_never_accepts_fails_after_the_connection_timeout(make_user: Any):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
        wait_until(lambda: bool(select([], fillers, [], 0)[1]), "the queue of connections is full")
        user = make_user(f"http://127.0.0.1:{full.getsockname()[1]}", connection_timeout=0.1)
        assert "no connection within the connect timeout" in str(user.client.get("/").error)
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_stale_connection_is_replaced_silently_for_idempotent_methods(make_user: Any, raw: RawServer, method: str):
    ok = OK[:-2] if method == "HEAD" else OK
    user = make_user(raw.answers([raw.take, ok, raw.take], [raw.take, ok]))
    assert user.client.request(method, "/").status_code == 200
    assert user.client.request(method, "/").status_code == 200
    assert raw.connections == 2
    assert [event["exception"] for event in user.environment.seen] == [None, None]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_stale_connection_fails_a_request_that_may_not_be_repeated(make_user: Any, raw: RawServer, method: str):
    user = make_user(raw.answers([raw.take, OK, raw.take], [raw.take, OK]))
    assert user.client.request(method, "/").status_code == 200
    assert "closed the connection before the first byte" in str(user.client.request(method, "/").error)
    assert len(raw.requests) == 2


def test_a_fresh_connection_is_never_tried_twice(make_client: Any, raw: RawServer):
    assert "before the first byte" in str(make_client(raw.answers([raw.take])).get("/").error)
    assert raw.connections == 1


def test_a_response_that_had_begun_is_never_asked_for_again(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([raw.take, OK, raw.take, OK[:20]], [raw.take, OK]))
    client.get("/")
    assert "in the head" in str(client.get("/").error)
    assert raw.connections == 1


def test_a_connection_closed_while_idle_is_noticed_without_a_request(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([raw.take, OK]))
    client.get("/")
    (pool,) = client._pools.values()
    (connection,) = pool._idle
    wait_in_greenlet(lambda: not connection.alive, "the client sees the end of the connection")
    assert client.post("/").content == b"ok"


def test_garbage_on_an_idle_connection_ends_it(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([raw.take, OK, 0.02, b"HTTP/1.1 408 Request Timeout\r\n\r\n", 5], [raw.take, OK]))
    client.get("/")
    ((connection,),) = (pool._idle for pool in client._pools.values())
    wait_in_greenlet(lambda: not connection.alive, "the client sees the garbage")
    assert client.post("/").content == b"ok"
    assert raw.connections == 2


def test_an_answer_before_the_request_was_taken_is_still_read(make_client: Any, raw: RawServer):
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    body = b"x" * 30_000_000  # more than the buffers of both ends hold, so the client is still sending
    client = make_client(raw.answers([lambda sock: sock.recv(100), answer, raw.take_rest]))
    assert client.post("/", data=body).status_code == 413


def test_a_server_that_takes_no_body_fails_after_the_network_timeout(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([5]), network_timeout=0.1)
    assert "silent for too long" in str(client.post("/", data=b"x" * 50_000_000).error)


def test_a_user_killed_in_mid_request_leaves_no_connection_and_no_event(make_user: Any, raw: RawServer):
    user = make_user(raw.answers([raw.take, 5], [raw.take, OK]))
    greenlet = gevent.spawn(user.client.get, "/")
    wait_in_greenlet(lambda: bool(raw.requests), "the server has the request")
    greenlet.kill()
    assert not user.environment.seen
    assert user.client.get("/").content == b"ok"
    assert raw.connections == 2


def test_a_gevent_timeout_round_a_request_is_a_failed_request_as_in_fast_http_user(make_user: Any, raw: RawServer):
    user = make_user(raw.answers([raw.take, 5]))
    with gevent.Timeout(0.05):
        user.client.get("/")
    assert isinstance(user.environment.seen[-1]["exception"], gevent.Timeout)


def test_the_greenlets_of_one_user_share_its_client(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    greenlets = [gevent.spawn(client.get, f"/{number}") for number in range(25)]
    gevent.joinall(greenlets)
    assert sorted(int(one.value.json()["path"][1:]) for one in greenlets) == list(range(25))
    (pool,) = client._pools.values()
    assert len(pool._idle) == 10


def test_ipv6_works_and_the_host_has_brackets(make_client: Any, raw_v6: RawServer):
    assert make_client(raw_v6.answers([raw_v6.take, OK])).get("/").content == b"ok"
    assert f"Host: [::1]:{raw_v6.port}".encode() in raw_v6.requests[0]


def test_the_frames_of_a_request_in_flight_can_be_told(make_client: Any, raw: RawServer):
    from loadstone.lean import REQUEST_CODES

    client = make_client(raw.answers([raw.take, 0.3, OK]))
    greenlet = gevent.spawn(client.get, "/")
    wait_in_greenlet(lambda: bool(raw.requests), "the server has the request")
    frame, codes = greenlet.gr_frame, []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    assert set(REQUEST_CODES) & set(codes)
    greenlet.join()
