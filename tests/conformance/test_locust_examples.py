"""Locust's own example files run unmodified: each is archived, nothing is lost, and nothing is left behind.

Two workers run each for a few seconds; a load shape, which would last longer, is interrupted.
"""

from __future__ import annotations

import csv
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from support.loadstone_run import CALM
from support.locust_examples import code_block, locust_source
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun

    NewRun = Callable[..., LoadstoneRun]

SECONDS = "3s"
EVERY_USER_TWICE = "6s"
"""Users that wait 2 to 5 s between tasks: each is active again after the ramp, so that the window has requests."""
NO_REQUEST = "no request at all in the window"
ERRORS_MAY_BE = ("--exit-code-on-error", "0")


@dataclass(frozen=True)
class Example:
    """One example file: what it shows, how it is started, and the paths that it must have asked for."""

    file: str
    shows: str
    paths: frozenset[str]
    users: int = 10
    run_time: str = SECONDS
    ends_in_the_ramp: bool = False
    """Its users ask once as they are spawned and not again before the end: its window, a second later, is empty."""

    def __str__(self) -> str:
        return self.file


def example(file: str, shows: str, *paths: str, **how: Any) -> Example:
    return Example(file, shows, frozenset(paths), **how)


EXAMPLES = [
    example("basic", "a task set of functions and a method", "GET /", "GET /stats/requests", run_time=EVERY_USER_TWICE),
    example("custom_wait_function", "two user classes with wait times of their own", "GET /", users=20),
    example("debugging", "catch_response", "GET /hello", users=2),
    example("debugging_advanced", "users that stop themselves", "GET /hello1", "GET /hello2", ends_in_the_ramp=True),
    example(
        "dynamic_user_credentials",
        "on_start of a task set",
        "POST /login",
        "GET /protected/resource",
        ends_in_the_ramp=True,
    ),
    example("events", "listeners to requests and to the reports of workers", "GET /", run_time=EVERY_USER_TWICE),
    example("extend_web_ui", "routes for a web UI that is not there", "GET /", run_time=EVERY_USER_TWICE),
    example("fast_http_locust", "FastHttpUser as fast as it can", "GET /", "GET /stats/requests", users=4),
    example("locustfile", "on_start, weights and names", "POST /login", "GET /item"),
    example("multiple_hosts", "a second client", "GET /", "GET /stats/requests", run_time=EVERY_USER_TWICE),
    example("nested_inline_tasksets", "task sets in a task set", "GET /", run_time=EVERY_USER_TWICE),
    example("semaphore_wait", "users that wait for each other", "GET /", users=4),
]
SHAPES = ["double_wave", "stages", "staging_user_classes", "step_load", "wait_user_count"]
"""Examples of load shapes, which last minutes: as with Locust, a run time does not end them."""


@pytest.fixture(scope="session")
def source() -> Path:
    """The unpacked source distribution of Locust."""
    return locust_source()


@pytest.fixture
def run_example(new_run: NewRun, source: Path) -> Callable[..., LoadstoneRun]:
    """Prepare a run of an example, by its name without ``.py``."""

    def prepare(name: str, host: str, *arguments: str, users: int = 10, run_time: str = SECONDS) -> LoadstoneRun:
        file = source / "examples" / f"{name}.py"
        load = ("-u", str(users), "-r", "50", "-t", run_time, "--workers", "2", "--stop-timeout", "3")
        objectives = () if "--objective" in arguments else CALM
        return new_run(None, "-f", str(file), "--host", host, *load, *objectives, *arguments)

    return prepare


def assert_archived(run: LoadstoneRun, received: int) -> None:
    """All counts are equal; requests cut off at the end, which the server may have received, are counted separately."""
    found = run.run_json()
    ledger = found["ledgers"]["archive"]
    counts = {"rows": run.rows(), "locust": found["locust"]["requests"], "stored": ledger["stored"]}
    assert counts == dict.fromkeys(counts, found["requests"])
    assert found["requests"] <= received <= found["requests"] + found["aborted"]
    assert (ledger["dropped"], ledger["unknown"]) == (0, 0)
    assert not run.left_behind()


def assert_passed(run: LoadstoneRun, code: int) -> None:
    assert (code, run.run_json()["reasons"]) == (0, []), run.output


@pytest.mark.parametrize("chosen", EXAMPLES, ids=str)
def test_an_example_runs_unmodified_and_every_request_is_archived(
    chosen: Example, run_example: Callable[..., LoadstoneRun], counting_server: CountingServer, monkeypatch
):
    monkeypatch.setenv("API_HOST", counting_server.url)  # what the example multiple_hosts asks for
    warmup = ("--warmup", "1s") if chosen.ends_in_the_ramp else ()
    run = run_example(chosen.file, counting_server.url, *warmup, users=chosen.users, run_time=chosen.run_time)
    code = run.run()
    count = counting_server.count()
    assert chosen.paths <= set(count.requests), run.output
    assert_archived(run, count.total)
    if chosen.ends_in_the_ramp:
        assert (code, NO_REQUEST in run.run_json()["reasons"]) == (3, True), run.output
    else:
        assert_passed(run, code)
    assert exceptions(run) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_an_example_of_a_load_shape_runs_until_it_is_interrupted(
    shape: str, run_example: Callable[..., LoadstoneRun], counting_server: CountingServer
):
    run = run_example(f"custom_shape/{shape}", counting_server.url).start()
    run.wait_for(lambda: counting_server.count().total > 5 or None)
    time.sleep(3)
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    assert set(counting_server.count().requests) == {"GET /"}
    assert_archived(run, counting_server.count().total)


def test_arguments_of_an_example_are_known_and_checked(
    run_example: Callable[..., LoadstoneRun], counting_server: CountingServer
):
    refused = run_example("add_command_line_argument", counting_server.url, "--env", "moon")
    assert refused.run() == 2
    assert "--env" in refused.output
    assert "moon" in refused.output
    run = run_example(
        "add_command_line_argument", counting_server.url, "--my-argument", "mine", "--env", "staging", users=1
    )
    code = run.run()
    assert_asks_for_nothing(run, code)
    assert exceptions(run) == [], "the tasks read the arguments"
    assert counting_server.count().total == 0


def test_an_example_that_ends_the_run_itself_is_archived_then(
    run_example: Callable[..., LoadstoneRun], counting_server: CountingServer
):
    counting_server.configure(failures={"/": 0.5})
    run = run_example("stop_on_threshold", counting_server.url, "--objective", "failures<=10%", users=6, run_time="60s")
    assert run.run() == 1, "half of the requests fail, and the objective allows a tenth"
    count = counting_server.count()
    assert_archived(run, count.total)
    assert run.run_json()["failures"] == count.statuses[500]
    events = {event["kind"]: event["at_ns"] for event in run.events()}
    assert events["stopped"] - events["started"] < 60e9


def test_requests_that_an_example_reports_itself_are_archived_with_its_exceptions(
    run_example: Callable[..., LoadstoneRun], counting_server: CountingServer
):
    run = run_example("manual_stats_reporting", counting_server.url, *ERRORS_MAY_BE, users=20)
    code = run.run()
    found = run.run_json()
    assert found["requests"] > 0
    assert_archived(run, found["locust"]["requests"])
    assert found["failures"] == found["locust"]["failures"] > 0
    assert {row["Message"] for row in exceptions(run)} == {"Oh nooes!", "decorator_task failed"}
    assert_passed(run, code)
    assert counting_server.count().total == 0


def test_messages_between_master_and_workers_of_an_example_arrive(
    run_example: Callable[..., LoadstoneRun], counting_server: CountingServer
):
    run = run_example("custom_messages", counting_server.url)
    code = run.run()
    assert_asks_for_nothing(run, code)
    assert run.run_json()["users_peak"] == 10, "a user can only be made with the name that a message brought"


def test_a_client_of_another_protocol_is_recorded(
    run_example: Callable[..., LoadstoneRun], xmlrpc_server: tuple[str, Counter[str]]
):
    url, calls = xmlrpc_server
    run = run_example("custom_xmlrpc_client/xmlrpc_locustfile", url, users=4)
    code = run.run()
    assert calls["get_time"] > 0
    assert calls["get_random_number"] > 0
    assert_archived(run, calls.total())
    assert_passed(run, code)


def test_the_documented_example_of_tags_runs_only_what_is_tagged(
    new_run: NewRun, source: Path, counting_server: CountingServer, tmp_path: Path
):
    page = (source / "docs" / "writing-a-locustfile.rst").read_text()
    file = tmp_path / "tags.py"
    file.write_text(code_block(page, "@tag("))
    load = ("-u", "4", "-r", "50", "-t", SECONDS, "--workers", "2")
    chosen = new_run(None, "-f", str(file), "--host", counting_server.url, *load, "--tags", "tag2", "tag3")
    assert_asks_for_nothing(chosen, chosen.run())
    assert exceptions(chosen) == []
    nothing_left = new_run(
        None, "-f", str(file), "--host", counting_server.url, *load, "--tags", "tag9", *ERRORS_MAY_BE
    )
    assert_asks_for_nothing(nothing_left, nothing_left.run())
    assert any("No tasks defined" in row["Message"] for row in exceptions(nothing_left))


def test_tests_of_pytest_run_as_users(new_run: NewRun, counting_server: CountingServer, tmp_path: Path):
    """Locust 2.47 takes them where there is no user class; its examples of that are in no source distribution."""
    file = tmp_path / "test_pages.py"
    file.write_text(
        "def test_one(fastsession):\n    fastsession.get('/one')\n\n\ndef test_two(session):\n    session.get('/two')\n"
    )
    counting_server.configure(latency_ms=20)  # such users have no wait time and never stop by themselves
    load = ("-u", "4", "-r", "50", "-t", SECONDS, "--stop-timeout", "1")
    run = new_run(None, "-f", str(file), "--host", counting_server.url, *load, *CALM)
    code = run.run()
    count = counting_server.count()
    assert set(count.requests) == {"GET /one", "GET /two"}
    assert_archived(run, count.total)
    assert_passed(run, code)


def assert_asks_for_nothing(run: LoadstoneRun, code: int) -> None:
    """Inconclusive: the example does its work without a single request, so there is nothing to judge."""
    assert code == 3, run.output
    assert NO_REQUEST in run.run_json()["reasons"]
    assert_archived(run, 0)


def exceptions(run: LoadstoneRun) -> list[dict[str, str]]:
    with (run.run_folder() / "exceptions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def xmlrpc_server() -> Iterator[tuple[str, Counter[str]]]:
    """Address and calls of a server for the XML-RPC example, whose own one has a fixed port."""
    calls: Counter[str] = Counter()

    def counted(name: str, result: int) -> int:
        calls[name] += 1
        return result

    with serving(SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)) as server:
        server.register_function(lambda: counted("get_time", 1), "get_time")
        server.register_function(lambda _low, _high: counted("get_random_number", 2), "get_random_number")
        yield f"http://127.0.0.1:{server.server_address[1]}", calls
