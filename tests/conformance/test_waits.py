"""Wait times of every sort: each user tells in an event of its own how long it took for six tasks with their waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

BASE = """
import time
from locust.exception import StopUser


class Waiting(User):
    abstract = True
    fixed_count = 1
    visits = 0

    def on_start(self):
        self.started = time.perf_counter()

    def fire(self, name, response_time):
        path = f"/{type(self).__name__}"
        self.environment.events.request.fire(
            request_type="WAIT", name=path + name, response_time=response_time, response_length=0, exception=None,
            context={},
        )

    @task
    def go(self):
        self.visits += 1
        if self.visits == 6:
            self.fire("/spent", (time.perf_counter() - self.started) * 1000)
            self.wait_time = lambda: 3600
        else:
            self.fire("/visit", 10.0)
"""
KINDS: dict[str, str] = {}
WRONG_UNIT = 10
"""How many times longer five waits never take, however busy the machine is, unless a unit is wrong."""


def kind(path: str, *lines: str) -> str:
    """Add a kind: the lines that set the wait time of a user class."""
    body = "\n    ".join(lines)
    KINDS[path] = f"\n\nclass {path.removeprefix('/')}(Waiting):\n    {body}\n"
    return path


@pytest.fixture(scope="module")
def compared(threefold_of_module: Threefold) -> Comparison:
    """The one run of all kinds each way."""
    return threefold_of_module.compare(PRELUDE + BASE + "".join(KINDS.values()), "-u", str(len(KINDS)))


@pytest.mark.parametrize(
    ("path", "waits_s"),
    [
        pytest.param(
            kind("/Constant", "wait_time = constant(0.15)"), 0.75, marks=pytest.mark.conforms("`constant`", "equal")
        ),
        pytest.param(
            kind("/Between", "wait_time = between(0.15, 0.16)"), 0.75, marks=pytest.mark.conforms("`between`", "equal")
        ),
        pytest.param(
            kind("/Pacing", "wait_time = constant_pacing(0.15)"),
            4 * 0.15,
            marks=pytest.mark.conforms("`constant_pacing`", "equal"),
        ),
        pytest.param(
            kind("/Throughput", "wait_time = constant_throughput(8)"),
            4 * 0.125,
            marks=pytest.mark.conforms("`constant_throughput`", "equal"),
        ),
        pytest.param(
            kind("/Own", "def wait_time(self):", "    return 0.05 * self.visits"),
            0.75,
            marks=pytest.mark.conforms("a `wait_time` method of the file's own", "equal"),
        ),
        pytest.param(
            kind("/Asleep", "def on_start(self):", "    super().on_start()", "    time.sleep(0.6)"),
            0.6,
            marks=pytest.mark.conforms("no wait time, and `time.sleep` in a user", "equal"),
        ),
    ],
)
def test_a_kind_of_wait(compared: Comparison, path: str, waits_s: float):
    compared.equal_below(path, requests=6)
    for outcome in (compared.locust, compared.loadstone):
        spent = outcome.rows[f"WAIT {path}/spent"].mean_ms
        # A schedule counts from before its user begins, so a late beginning shortens or takes its first wait of five.
        assert waits_s * 900 <= spent <= waits_s * 1000 * WRONG_UNIT, (path, outcome.rows)
        assert outcome.rows[f"WAIT {path}/visit"].mean_ms == 10


def test_the_file_with_all_waits_passes(compared: Comparison):
    assert compared.loadstone.requests == 6 * len(KINDS)
    compared.archived()
    compared.passed()
