"""Listeners to Locust's events, messages, and options of the file's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import visitor

if TYPE_CHECKING:
    from support.threefold import Threefold

USER = (
    visitor("/visit", 4)
    + """
import urllib.request


def tell(what):
    urllib.request.urlopen("{host}/" + what).close()


"""
)


@pytest.mark.conforms(
    "listeners to `test_start` and `test_stop`",
    "as with distributed Locust: they run in the master and in each worker, in plain Locust's one process once",
)
def test_start_and_stop(threefold: Threefold):
    source = (
        USER
        + """
@events.test_start.add_listener
def begin(environment, **kwargs):
    tell("begin")


@events.test_stop.add_listener
def end(environment, **kwargs):
    tell("end")
"""
    )
    compared = threefold.compare(source)
    assert compared.locust.requests == compared.loadstone.requests == 8
    told = [{key: outcome.count.requests[f"GET /{key}"] for key in ("begin", "end")} for outcome in compared.both]
    assert told == [{"begin": 1, "end": 1}, {"begin": 2, "end": 2}]
    compared.passed()


@pytest.mark.conforms("listeners that do their work once, by asking for the type of `environment.runner`", "equal")
def test_once_in_the_master(threefold: Threefold):
    source = (
        USER
        + """
from locust.runners import WorkerRunner


def once(what):
    def listener(environment, **kwargs):
        if not isinstance(environment.runner, WorkerRunner):
            tell(what)

    return listener


events.init.add_listener(once("init"))
events.test_start.add_listener(once("begin"))
events.test_stop.add_listener(once("end"))
events.spawning_complete.add_listener(lambda **kwargs: None)
events.quitting.add_listener(once("quitting"))
events.quit.add_listener(lambda exit_code, **kwargs: tell(f"quit-{exit_code}"))
"""
    )
    compared = threefold.compare(source)
    once = {f"GET /{key}" for key in ("init", "begin", "end", "quitting")}
    for outcome in compared.both:
        assert {key: outcome.count.requests.get(key) for key in once} == dict.fromkeys(once, 1)
        assert outcome.count.requests["GET /quit-0"] >= 1
    assert compared.locust.requests == compared.loadstone.requests == 8
    compared.passed()


@pytest.mark.conforms("messages between master and workers", "equal")
def test_messages(threefold: Threefold):
    source = (
        USER
        + """
from locust.runners import MasterRunner, WorkerRunner

Visitor.path = None


def receive(environment, msg, **kwargs):
    Visitor.path = msg.data["path"]
    environment.runner.send_message("got", {"path": msg.data["path"]})


def thank(environment, msg, **kwargs):
    tell("thanks" + msg.data["path"])


@events.init.add_listener
def register(environment, **kwargs):
    environment.runner.register_message("path", receive)
    environment.runner.register_message("got", thank)


@events.test_start.add_listener
def send(environment, **kwargs):
    if not isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("path", {"path": "/by-message"})


def get(user):
    while user.path is None:
        gevent.sleep(0.02)
    user.client.get(user.path)


Visitor.tasks = [get]
"""
    )
    compared = threefold.compare(source)
    for outcome in compared.both:
        assert outcome.by_name() == {"GET /by-message": (8, 0)}
        assert outcome.count.requests["GET /thanks/by-message"] == 1
    compared.passed()


OPTIONS = (
    USER
    + """
@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--page", default="/default", help="the page to visit")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--kind", choices=["a", "b"], default="a", env_var="KIND_OF_VISIT")
    parser.add_argument("--secret", is_secret=True, default="none")


def get(user):
    options = user.environment.parsed_options
    for _ in range(options.times):
        user.client.get(f"{options.page}/{options.kind}/{options.secret}")


Visitor.tasks = [get]
"""
)


@pytest.mark.conforms("options of the file's own, given and left out", "equal")
def test_options(threefold: Threefold):
    compared = threefold.compare(OPTIONS, "--page", "/given", "--times=2", "--secret", "s3")
    compared.equal(requests=16).passed()
    assert set(compared.loadstone.rows) == {"GET /given/a/s3"}


@pytest.mark.conforms("an option of the file's own that is set by its variable", "equal")
def test_an_option_by_variable(threefold: Threefold):
    compared = threefold.compare(OPTIONS, environ={"KIND_OF_VISIT": "b"}).equal(requests=8).passed()
    assert set(compared.loadstone.rows) == {"GET /default/b/none"}


@pytest.mark.conforms("a wrong value for an option of the file's own", "refused by both, with exit code 2")
def test_a_wrong_option(threefold: Threefold):
    for tried in threefold.try_both(OPTIONS, "--kind", "c"):
        assert tried.exit_code == 2, tried.output
        assert "invalid choice: 'c'" in tried.output


TAGGED = (
    USER
    + """
class Tagged(HttpUser):
    wait_time = few(4)

    @tag("a", "b")
    @task
    def first(self):
        self.client.get("/first")

    @tag("b")
    @task
    def second(self):
        self.client.get("/second")

    @task
    def third(self):
        self.client.get("/third")
"""
)


@pytest.mark.conforms("`--tags`", "equal")
def test_tags(threefold: Threefold):
    compared = threefold.compare(TAGGED, "Tagged", "--tags", "a").equal(requests=8).passed()
    assert set(compared.loadstone.rows) == {"GET /first"}


@pytest.mark.conforms("`--exclude-tags`", "equal")
def test_excluded_tags(threefold: Threefold):
    compared = threefold.compare(TAGGED, "Tagged", "--exclude-tags", "b").equal(requests=8).passed()
    assert set(compared.loadstone.rows) == {"GET /third"}
