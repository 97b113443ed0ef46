"""Request events that scenarios fire themselves; all kinds are user classes of one file, with one user each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

FIRING = """
import threading
from time import sleep


class Firing(User):
    abstract = True
    fixed_count = 1
    wait_time = few(3)

    def fire(self, **changed):
        event = {
            "request_type": "CALL",
            "name": f"/{type(self).__name__}",
            "response_time": 40.0,
            "response_length": 100,
            "exception": None,
            "context": {},
        }
        self.environment.events.request.fire(**{**event, **changed})
"""
pytestmark = pytest.mark.xdist_group("events")
KINDS: dict[str, str] = {}


def kind(path: str, *task: str) -> str:
    """Add a kind: the lines of the one task of a user class."""
    lines = "\n        ".join(task)
    KINDS[path] = f"""
class {path.removeprefix("/")}(Firing):
    @task
    def go(self):
        {lines}
"""
    return path


@pytest.fixture(scope="module")
def compared(threefold_of_module: Threefold) -> Comparison:
    """The one run of all kinds each way."""
    return threefold_of_module.compare(PRELUDE + FIRING + "".join(KINDS.values()), "-u", str(len(KINDS)))


@pytest.mark.parametrize(
    ("path", "requests", "failures"),
    [
        pytest.param(
            kind("/Plain", "self.fire()"),
            3,
            0,
            marks=pytest.mark.conforms("a `User` with a client of its own that fires `request`", "equal"),
        ),
        pytest.param(
            kind("/Failing", "self.fire(exception=ValueError('no'))", "self.fire()"),
            6,
            3,
            marks=pytest.mark.conforms("`request` with an exception", "equal"),
        ),
        pytest.param(
            kind("/Text", "self.fire(exception='only a text')"),
            3,
            3,
            marks=pytest.mark.conforms("`request` with a text as its exception", "equal"),
        ),
        pytest.param(
            kind("/Untimed", "self.fire(response_time=None)", "self.fire(response_time=80)"),
            6,
            0,
            marks=pytest.mark.conforms(
                "`request` with `response_time=None`", "equal: counted, and left out of mean and percentiles"
            ),
        ),
        pytest.param(
            kind("/Sized", "self.fire(response_length=1.5)"),
            3,
            0,
            marks=pytest.mark.conforms("`request` with a `response_length` of 1.5", "equal; the archive keeps 1"),
        ),
        pytest.param(
            kind("/Zero", *["self.fire(response_time=0)"] * 2, "self.fire(response_time=1e6)"),
            9,
            0,
            marks=pytest.mark.conforms("`request` with a time of 0 and with one of a quarter of an hour", "equal"),
        ),
        pytest.param(
            kind("/Named", "self.fire(name='/Named/ü|\"quoted\"')", "self.fire(name='/Named/' + 'x' * 200)"),
            6,
            0,
            marks=pytest.mark.conforms("names of other scripts, with quotes, and of 200 characters", "equal"),
        ),
        pytest.param(
            kind("/Typed", "self.fire(request_type='')", "self.fire(request_type='gRPC')"),
            6,
            0,
            marks=pytest.mark.conforms("request types that are no HTTP method, or empty", "equal"),
        ),
        pytest.param(
            kind("/More", "self.fire(response=object(), url='x', start_time=0.0, of_its_own=1)"),
            3,
            0,
            marks=pytest.mark.conforms("`request` with further keywords", "equal"),
        ),
        pytest.param(
            kind(
                "/Threaded",
                "pool = gevent.get_hub().threadpool",
                "pool.apply(sleep, (0.02,))",
                "self.fire()",
            ),
            3,
            0,
            marks=pytest.mark.conforms("blocking calls in gevent's thread pool", "equal"),
        ),
        pytest.param(
            kind(
                "/Metrics",
                "self.fire()",
                "self.fire(request_type='TTFT', name='/Metrics/first token', response_time=12.0, response_length=0)",
                "self.fire(request_type='TPS', name='/Metrics/tokens per second', response_time=55.5)",
            ),
            9,
            0,
            marks=pytest.mark.conforms("metrics fired as requests of types of their own", "equal"),
        ),
    ],
)
def test_a_kind_of_event(compared: Comparison, path: str, requests: int, failures: int):
    compared.equal_below(path, requests=requests, failures=failures, stated=True)


def test_the_file_with_all_kinds_has_every_event_in_the_archive(compared: Comparison):
    compared.equal(unseen=True, stated=True).verdict("fail", plain=1)
