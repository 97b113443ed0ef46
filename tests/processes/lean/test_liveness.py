"""The patch of geventhttpclient's select() check, and the count of new connections."""

from __future__ import annotations

import logging
import resource
import socket
from typing import Any

import pytest
from geventhttpclient.connectionpool import ConnectionPool
from locust import FastHttpUser, HttpUser

from loadstone import LeanHttpUser
from loadstone.lean import connections, locust_fast

STOCK = ConnectionPool._is_socket_alive


@pytest.fixture(autouse=True)
def stock_check():
    ConnectionPool._is_socket_alive = STOCK
    yield
    ConnectionPool._is_socket_alive = STOCK


@pytest.fixture
def far_pair():
    """Two ends of a connection whose first has a descriptor that select() cannot take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    left, right = socket.socketpair()
    far = socket.socket(fileno=locust_fast._duplicate_beyond(left.fileno()))
    left.close()
    yield far, right
    far.close()
    right.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_patched_check_knows_idle_closed_and_readable_sockets_beyond_the_limit_of_select(far_pair: Any):
    far, other = far_pair
    assert locust_fast.is_alive(None, far)
    other.send(b"x")
    assert not locust_fast.is_alive(None, far)
    assert far.recv(1) == b"x"
    other.close()
    assert not locust_fast.is_alive(None, far)
    far.close()
    assert not locust_fast.is_alive(None, far)
    assert not locust_fast.is_alive(None, None)


def test_a_check_that_takes_every_descriptor_is_sound_and_one_with_select_is_not(far_pair: Any):
    import select

    assert locust_fast.sound(locust_fast.is_alive)
    assert not locust_fast.sound(lambda _pool, sock: not select_or_dead(select, sock))


def select_or_dead(select: Any, sock: Any):
    try:
        return bool(select.select([sock], [], [], 0)[0])
    except ValueError:
        return True


def unsound(_pool: Any, sock: Any):
    return sock.fileno() < locust_fast.FD_SETSIZE


def test_an_unsound_check_is_patched_once_with_one_line(far_pair: Any, caplog: Any):
    ConnectionPool._is_socket_alive = unsound
    with caplog.at_level(logging.WARNING):
        assert locust_fast.install(None)
        assert not locust_fast.install(None)
    assert ConnectionPool._is_socket_alive is locust_fast.is_alive
    assert [record.getMessage().split()[:2] for record in caplog.records] == [
        ["event=fasthttp_liveness", "patched=true"]
    ]


def test_a_setting_leaves_the_check_alone_and_says_what_follows(far_pair: Any, caplog: Any):
    ConnectionPool._is_socket_alive = unsound
    with caplog.at_level(logging.WARNING):
        assert not locust_fast.install(None, enabled=False)
    assert ConnectionPool._is_socket_alive is unsound
    assert "patched=false" in caplog.text


def test_a_sound_version_is_left_alone_without_a_word(far_pair: Any, caplog: Any):
    def right(pool: Any, sock: Any):
        return locust_fast.is_alive(pool, sock)

    ConnectionPool._is_socket_alive = right
    assert not locust_fast.install(None)
    assert ConnectionPool._is_socket_alive is right
    assert not caplog.records


def fast_client(environment: Any, url: str):
    class Fast(FastHttpUser):
        host = url

    return Fast(environment).client


def close(client: Any):
    """Close what the clients of the three user classes keep open."""
    (client.client.clientpool if hasattr(client, "client") else client).close()


def test_fast_http_user_keeps_its_connection_beyond_the_limit_of_select_once_patched(
    far_pair: Any, environment: Any, uvicorn_url: str
):
    fillers = [far_pair[0].dup() for _ in range(1100)]
    ports = {}
    try:
        for enabled in (False, True):
            locust_fast.install(None, enabled=enabled)
            client = fast_client(environment, uvicorn_url)
            ports[enabled] = {client.get("/").json()["port"] for _ in range(4)}
            close(client)
    finally:
        for filler in fillers:
            filler.close()
    assert len(ports[True]) == 1
    assert len(ports[False]) == (1 if locust_fast.sound(STOCK) else 4)


def test_new_connections_of_all_three_user_classes_are_counted_and_requests_are_not(environment: Any, uvicorn_url: str):
    connections.install()
    connections.install()
    for base in (HttpUser, FastHttpUser, LeanHttpUser):
        user = type("Counted", (base,), {"host": uvicorn_url})(environment)
        before = connections.opened()
        for _ in range(3):
            assert user.client.get("/").status_code == 200
        assert connections.opened() - before == 1, base
        user.client.get("/close")
        user.client.get("/")
        assert connections.opened() - before == 2, base
        close(user.client)
