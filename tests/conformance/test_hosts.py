"""Hosts of user classes: the same requests reach the same servers as with plain Locust."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM, LoadstoneRun
from support.plain_locust import plain_locust
from support.threefold import PRELUDE, RUN_TIME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.starters import StartCountingServer

pytestmark = pytest.mark.timeout(300)  # two runs, on a machine that may be busy

LOAD = ("-u", "3", "-r", "10", "--stop-timeout", "3")
REQUESTS = 5
HEAD = f"""{PRELUDE}
import time
from locust.exception import StopUser
from loadstone import LeanHttpUser

class Finite:
    wait_time = constant(0.01)
    fixed_count = 1
    def ask(self):
        for _ in range({REQUESTS}):
            self.once()
        raise StopUser
    tasks = [ask]
"""


@dataclass(frozen=True, slots=True)
class Both:
    """What the servers received from plain Locust, and from ``run``, whose archive is looked at too."""

    run: LoadstoneRun
    code: int
    plain: list[dict[str, int]]
    ours: list[dict[str, int]]


@pytest.fixture
def compare(new_run: Callable[..., LoadstoneRun], tmp_path: Path) -> Callable[..., Both]:
    """Run a scenario with plain Locust, then with loadstone; each user sends five requests."""

    def both(text: str, servers: list[CountingServer], *arguments: str) -> Both:
        file = tmp_path / "scenario.py"
        file.write_text(HEAD + dedent(text))
        plain, said = plain_locust("-f", file, *LOAD, "-t", RUN_TIME["locust"], *arguments)
        assert plain == 0, said
        received = [dict(server.count().requests) for server in servers]
        for server in servers:
            server.reset()
        options = (*LOAD, "-t", RUN_TIME["loadstone"], *CALM, "--workers", "2", *arguments)
        run = new_run(None, "-f", str(file), *options)
        code = run.start().finish(timeout_s=240)
        return Both(run, code, received, [dict(server.count().requests) for server in servers])

    return both


def assert_equal(both: Both, *expected: dict[str, int]) -> None:
    assert (both.plain, both.ours) == (list(expected), list(expected)), both.run.output
    found = both.run.run_json()
    assert (found["requests"], found["failures"]) == (sum(sum(counts.values()) for counts in expected), 0)


@pytest.mark.conforms("two user classes with hosts of their own, no --host", "equal")
def test_each_class_asks_its_own_host(compare: Callable[..., Both], start_counting_server: StartCountingServer):
    one, other = start_counting_server(), start_counting_server()
    both = compare(
        f"""
        class One(Finite, FastHttpUser):
            host = {one.url!r}
            def once(self): self.client.get("/one")
        class Other(Finite, LeanHttpUser):
            host = {other.url!r}
            def once(self): self.client.get("/other")
        """,
        [one, other],
    )
    assert_equal(both, {"GET /one": REQUESTS}, {"GET /other": REQUESTS})
    assert both.run.run_json()["host"] == ", ".join(sorted((one.url, other.url)))
    for url in (one.url, other.url):
        assert url in both.run.output


@pytest.mark.conforms("--host in place of the hosts of the classes", "equal")
def test_a_host_of_the_user_takes_the_place_of_all(
    compare: Callable[..., Both], start_counting_server: StartCountingServer
):
    one, other = start_counting_server(), start_counting_server()
    both = compare(
        f"""
        class One(Finite, HttpUser):
            host = {one.url!r}
            def once(self): self.client.get("/one")
        class Other(Finite, HttpUser):
            host = "http://127.0.0.1:1"
            def once(self): self.client.get("/other")
        """,
        [one, other],
        "--host",
        other.url,
    )
    assert_equal(both, {}, {"GET /one": REQUESTS, "GET /other": REQUESTS})


@pytest.mark.conforms("a host that ends with a slash, and relative paths without one", "equal")
@pytest.mark.parametrize("given", [True, False])
def test_a_path_comes_right_behind_a_host_that_ends_with_a_slash(
    compare: Callable[..., Both], counting_server: CountingServer, *, given: bool
):
    host = "None" if given else repr(counting_server.url + "/")
    both = compare(
        f"""
        class Http(Finite, HttpUser):
            host = {host}
            def once(self): self.client.get("http")
        class Fast(Finite, FastHttpUser):
            host = {host}
            def once(self): self.client.get("fast")
        class Lean(Finite, LeanHttpUser):
            host = {host}
            def once(self): self.client.get("lean")
        """,
        [counting_server],
        *(("--host", counting_server.url + "/") if given else ()),
    )
    assert_equal(both, {"GET /http": REQUESTS, "GET /fast": REQUESTS, "GET /lean": REQUESTS})


@pytest.mark.conforms("a dummy host, and absolute URLs in the tasks", "equal")
def test_absolute_urls_do_without_a_host(compare: Callable[..., Both], counting_server: CountingServer):
    both = compare(
        f"""
        class One(Finite, HttpUser):
            host = "dummy"
            def once(self): self.client.get("{counting_server.url}/one")
        class Other(Finite, LeanHttpUser):
            host = "http://127.0.0.1:1"
            def once(self): self.client.get("{counting_server.url}/other")
        """,
        [counting_server],
    )
    assert_equal(both, {"GET /one": REQUESTS, "GET /other": REQUESTS})
    assert both.run.output.count("requests with absolute URLs do not need it") == 2


@pytest.mark.conforms("a host that a listener of the scenario sets", "equal")
def test_a_host_from_a_listener_counts(compare: Callable[..., Both], counting_server: CountingServer):
    both = compare(
        f"""
        @events.test_start.add_listener
        def choose(environment, **_):
            environment.host = {counting_server.url!r}
        class One(Finite, FastHttpUser):
            def once(self): self.client.get("/chosen")
        """,
        [counting_server],
    )
    assert_equal(both, {"GET /chosen": REQUESTS})


@pytest.mark.conforms("clients of other protocols: host localhost:50051, kafka://, or none at all", "equal")
def test_a_client_of_another_protocol_needs_no_http_host(compare: Callable[..., Both], counting_server: CountingServer):
    both = compare(
        """
        class Reporting(Finite):
            def once(self):
                self.environment.events.request.fire(
                    request_type="rpc", name=str(self.host), response_time=3, response_length=7, exception=None
                )
        class Grpc(Reporting, User):
            host = "localhost:50051"
        class Kafka(Reporting, User):
            host = "kafka://nowhere:9092"
        class Bare(Reporting, User):
            pass
        """,
        [counting_server],
    )
    with (both.run.run_folder() / "stats.csv").open(newline="") as file:
        counted = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counted == {"localhost:50051": 5, "kafka://nowhere:9092": 5, "None": 5, "Aggregated": 15}
    assert both.run.run_json()["host"] == "kafka://nowhere:9092, localhost:50051"
