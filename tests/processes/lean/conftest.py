"""Real servers on loopback for the lean client: uvicorn in a process of its own, and raw sockets that misbehave."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from cryptography import x509
from locust.env import Environment

from loadstone import LeanHttpUser
from support.raw_server import RawServer
from support.tls_server import issue, tls_server


@pytest.fixture
def raw():
    server = RawServer()
    yield server
    server.stop()


@pytest.fixture
def raw_v6():
    try:
        server = RawServer(socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 loopback on this machine: {error}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: Any):
    """A certificate for localhost and 127.0.0.1."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return issue(tmp_path_factory.mktemp("tls"), *names)


@pytest.fixture(scope="session")
def foreign_certificate(tmp_path_factory: Any):
    """A certificate for names that no test server has."""
    names = [x509.DNSName("elsewhere.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    return issue(tmp_path_factory.mktemp("tls"), *names)


@pytest.fixture
def tls_raw(certificate: Any):
    """A raw server behind TLS; `server_names` are the SNI names that clients asked for."""
    with tls_server(certificate) as server:
        yield server


@pytest.fixture
def foreign_tls_raw(foreign_certificate: Any):
    """The same with the certificate of another server."""
    with tls_server(foreign_certificate) as server:
        yield server


class Events(list):
    """The `request` events of an environment, as dictionaries of their keywords."""

    def __call__(self, **keywords: Any) -> None:
        self.append(keywords)


@pytest.fixture
def environment():
    made = Environment()
    made.create_local_runner()
    made.seen = Events()
    made.events.request.add_listener(made.seen)
    yield made
    made.runner.quit()


@pytest.fixture
def make_user(environment: Any):
    """Make a lean user of a class with these attributes; `user.environment.seen` holds its events."""
    users = []

    def make(url: str, **attributes: Any):
        attributes = {"network_timeout": 5.0, "connection_timeout": 5.0, **attributes}
        user_class = type("TestUser", (LeanHttpUser,), {"host": url, **attributes})
        users.append(user_class(environment))
        return users[-1]

    yield make
    for user in users:
        user.client.close()


@pytest.fixture
def make_client(make_user: Any):
    return lambda url, **attributes: make_user(url, **attributes).client
