"""HTTPS: server name, verification by default, and the same rules as on a plain connection."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from support.raw_server import reset

if TYPE_CHECKING:
    import socket

    from support.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def trust_in(certificate: Any) -> dict[str, Any]:
    """Attributes of a user class that trusts this certificate."""
    return {"ssl_context_factory": staticmethod(lambda: ssl.create_default_context(cafile=str(certificate[0])))}


@pytest.fixture
def trusting(certificate: Any):
    """Attributes of a user class that trusts the test's certificate."""
    return trust_in(certificate)


def test_a_trusted_certificate_is_accepted_and_the_server_is_named(make_client: Any, tls_raw: RawServer, trusting: Any):
    client = make_client(tls_raw.answers([tls_raw.take, OK, tls_raw.take, OK]), **trusting)
    assert [client.get("/").content, client.post("/").content] == [b"ok", b"ok"]
    assert tls_raw.server_names == ["localhost"]
    assert tls_raw.connections == 1


def test_a_certificate_nobody_vouches_for_fails_the_request_by_default(make_user: Any, tls_raw: RawServer):
    user = make_user(tls_raw.answers([tls_raw.take, OK]))
    assert user.client.get("/").status_code == 0
    assert "CERTIFICATE_VERIFY_FAILED" in repr(user.environment.seen[-1]["exception"])


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("127.0.0.1", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("localhost", "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
)
def test_a_trusted_certificate_for_another_name_fails_the_request(
    make_user: Any, foreign_tls_raw: RawServer, foreign_certificate: Any, host: str, problem: str
):
    foreign_tls_raw.answers([foreign_tls_raw.take, OK])
    user = make_user(f"https://{host}:{foreign_tls_raw.port}", **trust_in(foreign_certificate))
    user.client.get("/")
    error = user.environment.seen[-1]["exception"]
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert problem in str(error)
    assert user.environment.seen[-1]["response"].status_code == 0
    assert foreign_tls_raw.requests == []


def test_verification_can_be_switched_off(make_client: Any, tls_raw: RawServer):
    assert make_client(tls_raw.answers([tls_raw.take, OK]), insecure=True).get("/").content == b"ok"


def test_large_bodies_pass_in_both_directions(make_client: Any, tls_raw: RawServer, trusting: Any):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"y" * 2_000_000
    client = make_client(tls_raw.answers([tls_raw.take, answer]), **trusting)
    response = client.post("/", data=b"x" * 3_000_000)
    assert response.content == b"y" * 2_000_000
    assert tls_raw.requests[0].endswith(b"x" * 3_000_000)


def test_a_body_until_close_ends_with_the_connection(make_client: Any, tls_raw: RawServer, trusting: Any):
    client = make_client(tls_raw.answers([tls_raw.take, b"HTTP/1.1 200 OK\r\n\r\nto the end"]), **trusting)
    assert client.get("/").content == b"to the end"


def test_a_server_that_speaks_no_tls_is_a_failed_request(make_user: Any, raw: RawServer):
    url = raw.answers([b"HTTP/1.1 400 Bad Request\r\n\r\n"]).replace("http://", "https://")
    user = make_user(url)
    user.client.get("/")
    assert isinstance(user.environment.seen[-1]["exception"], ssl.SSLError)


def take_hello(sock: socket.socket) -> None:
    """A step: read what the client begins with, so that closing is an orderly end."""
    sock.recv(65_536)


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([take_hello], "closed the connection during the TLS handshake"),
        ([take_hello, reset], "reset by peer"),
    ],
)
def test_a_server_that_hangs_up_in_the_handshake_is_a_failed_request(
    make_user: Any, raw: RawServer, steps: list[Any], error: str
):
    user = make_user(raw.answers(steps).replace("http://", "https://"))
    assert error in str(user.client.get("/").error)


def test_a_server_that_stays_silent_in_the_handshake_is_a_failed_request(make_user: Any, raw: RawServer):
    user = make_user(raw.answers([5]).replace("http://", "https://"), connection_timeout=0.1)
    assert "no TLS handshake within the connect timeout" in str(user.client.get("/").error)
