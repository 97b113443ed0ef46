"""What Locust counts without a request event, what nobody counts, and the exceptions of tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

pytestmark = pytest.mark.timeout(300)
USERS, TASKS = 3, 5
EACH = USERS * TASKS
LOAD = ("-u", str(USERS), "-r", "100", "-t", "10s")
NO_EXCEPTIONS = (*CALM, "--objective", "failures==0", "--objective", "exceptions==0")
HEAD = """
import gevent
from locust import *
from locust.exception import *
from loadstone import LeanHttpUser


def wait_time(user):
    user.tasks_done = getattr(user, "tasks_done", 0) + 1
    return 0.1 if user.tasks_done < 5 else 3600


gevent.get_hub().loop.update_now()  # or the imports above count as run time, of which a busy machine needs seconds
"""
CLASSES = """

class Http(HttpUser):
    wait_time = wait_time
    tasks = [work]


class Fast(FastHttpUser):
    wait_time = wait_time
    tasks = [work]


class Lean(LeanHttpUser):
    wait_time = wait_time
    tasks = [work]
"""
"""One user of each class runs the same five tasks."""


def three_classes(work: str) -> str:
    return HEAD + work + CLASSES


def equal_counts(compared: Comparison, *, requests: int | None = None) -> Comparison:
    """Assert what `Comparison.equal` does, but for the servers' counts and for times, about which this file is not."""
    wanted, got = compared.locust, compared.loadstone
    assert got.by_name() == wanted.by_name(), got.output
    assert (got.errors, got.exceptions) == (wanted.errors, wanted.exceptions)
    assert got.count.requests == wanted.count.requests
    assert got.requests == (wanted.requests if requests is None else requests)
    compared.archived()
    return compared


def notice_of(compared: Comparison) -> str:
    return " ".join(compared.run.run_json()["notices"])


def assert_unreported(compared: Comparison, count: int) -> None:
    """Both servers saw these requests, neither Locust counted one, and loadstone says how many there were."""
    for side in (compared.locust, compared.loadstone):
        assert side.count.total == side.requests + count
    assert compared.run.run_json()["unreported"] == count
    assert f"{count} requests were sent but reported to nobody" in notice_of(compared)
    assert f"{count} sent but not reported" in compared.loadstone.output


@pytest.mark.conforms("an `assert` inside a `catch_response` block", "equal; those requests are shown as not reported")
def test_an_assert_in_a_block(threefold: Threefold):
    source = three_classes("""
def work(user):
    user.client.get("/sound")
    with user.client.get("/asserted", catch_response=True) as response:
        assert response.status_code == 201, "not created"
""")
    compared = threefold.compare(source, *LOAD, objectives=NO_EXCEPTIONS)
    equal_counts(compared, requests=EACH).verdict("fail", plain=1, reason="exceptions are ")
    assert compared.loadstone.exceptions == Counter({"not created": EACH})
    assert_unreported(compared, EACH)
    found = compared.run.run_json()
    assert (found["exceptions"], found["locust"]["exceptions"]) == (EACH, EACH)
    assert 0 < found["exceptions_in_window"] <= EACH
    assert f"{EACH} exceptions of tasks, {found['exceptions_in_window']} in the window" in compared.loadstone.output


@pytest.mark.conforms("`RescheduleTask` and `interrupt()` inside a `catch_response` block",
                      "equal; those requests are shown as not reported")  # fmt: skip
def test_a_block_that_is_left_by_rescheduling_or_interrupting(threefold: Threefold):
    source = three_classes("""
class work(TaskSet):
    def on_start(self):
        self.client.get("/sound")

    @task
    def leave(self):
        self.wait()
        with self.client.get("/left", catch_response=True):
            if self.user.tasks_done == 1:
                raise RescheduleTask()
            self.interrupt()
""")
    compared = threefold.compare(source, *LOAD)
    equal_counts(compared, requests=3 * USERS).passed()
    assert_unreported(compared, 3 * USERS)


@pytest.mark.conforms("`catch_response=True` without a `with` block", "equal; those requests are shown as not reported")
def test_no_block(threefold: Threefold):
    source = three_classes("""
def work(user):
    user.client.get("/sound")
    user.client.get("/forgotten", catch_response=True)
""")
    compared = threefold.compare(source, *LOAD)
    equal_counts(compared, requests=EACH).passed()
    assert_unreported(compared, EACH)


@pytest.mark.conforms(
    "a `gevent.Timeout` of the task around a request", "equal; those requests are shown as not reported"
)
def test_a_timeout_of_the_task(threefold: Threefold):
    source = (
        HEAD
        + """
class Http(HttpUser):
    wait_time = wait_time

    @task
    def work(self):
        self.client.get("/sound")
        with gevent.Timeout(0.1, False):
            self.client.get("/slow?ms=1500")
"""
    )
    compared = threefold.compare(source, "-u", "2", "-r", "100", "-t", "14s")
    equal_counts(compared, requests=2 * TASKS).passed()
    assert_unreported(compared, 2 * TASKS)


@pytest.mark.conforms("`environment.stats.log_request` and `log_error` called by the file", "equal")
def test_direct_calls(threefold: Threefold):
    source = three_classes("""
def work(user):
    stats = user.environment.stats
    user.client.get("/page")
    stats.log_request("METRIC", "tokens", 12, 7)
    user.environment.runner.stats.log_error("GET", "/page", "stale")
    stats.log_error("ERROR", "call", "refused")
    stats.log_request("ERROR", "call", 40, 0)
""")
    compared = threefold.compare(source, *LOAD)
    equal_counts(compared, requests=3 * EACH).verdict("fail", plain=1, reason="failures are ")
    assert compared.loadstone.by_name() == {
        "GET /page": (EACH, EACH),
        "METRIC tokens": (EACH, 0),
        "ERROR call": (EACH, EACH),
    }
    assert compared.loadstone.rows["METRIC tokens"].mean_ms == 12
    assert compared.run.run_json()["lone_errors"] == 0


@pytest.mark.conforms(
    "`log_error` without a request of that name",
    "counts as a failed request without a time: Locust counts a failure but no request",
)
def test_lone_errors(threefold: Threefold):
    source = three_classes("""
def work(user):
    user.client.get("/page")
    user.environment.stats.log_error("DOC", "timer", RuntimeError("late"))
""")
    compared = threefold.compare(source, *LOAD)
    assert compared.locust.by_name() == {"GET /page": (EACH, 0), "DOC timer": (0, EACH)}
    assert compared.loadstone.by_name() == {"GET /page": (EACH, 0), "DOC timer": (EACH, EACH)}
    assert compared.loadstone.errors == compared.locust.errors
    compared.verdict("fail", plain=1, reason="failures are ")
    found = compared.run.run_json()
    assert (found["locust"]["requests"], found["requests"], found["lone_errors"]) == (EACH, 2 * EACH, EACH)
    assert f"{EACH} errors were logged without a request" in notice_of(compared)


@pytest.mark.conforms("a request listener that raises RescheduleTask, before or after Locust's own", "equal")
@pytest.mark.parametrize("event", ["init", "test_start"])
def test_a_listener_that_raises(threefold: Threefold, event: str):
    source = three_classes(f"""
@events.{event}.add_listener
def listen(environment, **_):
    environment.events.request.add_listener(leave)


def leave(name, **_):
    if name == "/left":
        raise RescheduleTask()


def work(user):
    user.client.get("/sound")
    user.client.get("/left")
""")
    compared = threefold.compare(source, *LOAD)
    equal_counts(compared, requests=2 * EACH).passed()
    assert compared.run.run_json()["unreported"] == 0


@pytest.mark.conforms("tasks that raise", "equal; `exceptions==0` judges them, else Locust's exit code does")
@pytest.mark.parametrize("judged", [True, False])
def test_tasks_that_raise(threefold: Threefold, judged: bool):
    source = three_classes("""
def work(user):
    user.client.get("/sound")
    gevent.sleep(0.1)
    raise ValueError("no result")
""")
    objectives = NO_EXCEPTIONS if judged else (*CALM, "--objective", "failures==0")
    compared = threefold.compare(source, *LOAD, objectives=objectives)
    equal_counts(compared, requests=EACH)
    assert compared.locust.exit_code == 1
    if judged:
        compared.verdict("fail", plain=1, reason="exceptions are ")
        return
    found = compared.run.run_json()
    assert found["exceptions"] == EACH
    notice = f"{EACH} exceptions were raised by tasks, {found['exceptions_in_window']} of them in the window"
    assert notice in notice_of(compared)
    assert notice in " ".join(compared.loadstone.output.split())


@pytest.mark.conforms("statistics that the file resets during the run", "the archive keeps what came before")
def test_statistics_that_are_reset(threefold: Threefold):
    source = three_classes("""
@events.spawning_complete.add_listener
def reset(**_):
    gevent.spawn_later(5, clear)


@events.init.add_listener
def remember(environment, **_):
    global clear
    clear = environment.stats.clear_all


def work(user):
    user.client.get("/sound")
""")
    compared = threefold.compare(source, *LOAD)
    assert compared.locust.requests < EACH
    assert (compared.loadstone.requests, compared.loadstone.count.total) == (EACH, EACH)
    found = compared.run.run_json()
    assert found["locust"]["reset"]
    assert found["locust"]["requests"] < EACH
    compared.passed()
