"""User classes of every sort, and how many users of each there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Threefold

TWO = (
    PRELUDE
    + """
class One(HttpUser):
    wait_time = few(4)

    @task
    def get(self):
        self.client.get("/one")


class Two(FastHttpUser):
    wait_time = few(4)

    @task
    def get(self):
        self.client.get("/two")
"""
)


@pytest.mark.conforms("`HttpUser` and `FastHttpUser` in one file", "equal")
def test_both_stock_clients(threefold: Threefold):
    compared = threefold.compare(TWO, "-u", "4").equal(requests=16).passed()
    assert compared.loadstone.by_name() == {"GET /one": (8, 0), "GET /two": (8, 0)}


@pytest.mark.conforms("one user class chosen by its name on the command line", "equal")
def test_a_chosen_class(threefold: Threefold):
    compared = threefold.compare(TWO, "Two").equal(requests=8).passed()
    assert compared.loadstone.by_name() == {"GET /two": (8, 0)}


@pytest.mark.conforms("several user classes with `weight` and `fixed_count`, on two workers", "equal")
def test_weights_and_fixed_counts(threefold: Threefold):
    source = TWO.replace("class One(HttpUser):", "class One(HttpUser):\n    weight = 3")
    source += """

class Fixed(HttpUser):
    fixed_count = 2
    wait_time = few(4)

    @task
    def get(self):
        self.client.get("/fixed")
"""
    compared = threefold.compare(source, "-u", "10", workers=2).equal(requests=40).passed()
    assert compared.loadstone.by_name() == {"GET /one": (24, 0), "GET /two": (8, 0), "GET /fixed": (8, 0)}


@pytest.mark.conforms("users that are given attributes by a listener to `init`, and by class attributes", "equal")
def test_attributes_set_by_init(threefold: Threefold):
    source = (
        TWO
        + """

@events.init.add_listener
def prepare(environment, **kwargs):
    One.wait_time = few(7)
    environment.prepared = "/prepared"


def get_prepared(user):
    user.client.get(user.environment.prepared)


Two.tasks = [get_prepared]
"""
    )
    compared = threefold.compare(source).equal(requests=11).passed()
    assert compared.loadstone.by_name() == {"GET /one": (7, 0), "GET /prepared": (4, 0)}


@pytest.mark.conforms("a user class whose `HttpUser` client is replaced in `__init__`", "equal")
def test_a_client_that_is_wrapped(threefold: Threefold):
    source = (
        PRELUDE
        + """
class Logged:
    def __init__(self, session):
        self.session = session

    def get(self, path):
        return self.session.get(path, headers={"X-Wrapped": "yes"})


class Wrapping(HttpUser):
    wait_time = few(4)

    def __init__(self, environment):
        super().__init__(environment)
        self.client = Logged(self.client)

    @task
    def get(self):
        self.client.get("/wrapped")
"""
    )
    threefold.compare(source).equal(requests=8).passed()


@pytest.mark.conforms("a client that speaks through a raw socket and fires `request`", "equal")
def test_a_client_of_its_own(threefold: Threefold):
    source = (
        PRELUDE
        + """
import socket
import time


class RawClient:
    def __init__(self, port, request):
        self.port, self.request = port, request

    def get(self, path):
        started, failure, answer = time.perf_counter(), None, b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
                while part := connection.recv(4096):
                    answer += part
        except OSError as error:
            failure = error
        self.request.fire(
            request_type="RAW",
            name=path,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=len(answer),
            exception=failure,
            context={},
            response=answer,
        )


class RawUser(User):
    wait_time = few(5)

    def __init__(self, environment):
        super().__init__(environment)
        self.client = RawClient({port}, environment.events.request)

    @task
    def get(self):
        self.client.get("/raw")
"""
    )
    threefold.compare(source).equal(requests=10).passed()
