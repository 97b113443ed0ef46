"""Exit codes: whatever makes plain Locust exit with another code than 0 keeps loadstone from passing."""

from __future__ import annotations

import pytest

from support.loadstone_run import CALM
from support.threefold import PRELUDE, Threefold

FIVE = (
    PRELUDE
    + """

class Caller(HttpUser):
    wait_time = few(5)
    said = []

    @task
    def get(self):
        self.client.get("/called")
        self.said.append(1)

"""
)
GATE = """
@events.quitting.add_listener
def gate(environment, **_):
    if environment.stats.total.fail_ratio > 0.01:
        environment.process_exit_code = 9
"""
LASTS = ("-t", "6s")
HALF_FAIL = {"/called": 0.5}
AFTER_RAMP = """
    def on_start(self):
        gevent.sleep(2)
"""
UNJUDGED = "because 5 requests failed"
JUDGED = (*CALM, "--objective", "failures<90%")


@pytest.mark.conforms("`environment.process_exit_code` set in `quitting`, as Locust documents for CI", "equal")
def test_a_gate_in_quitting(threefold: Threefold):
    compared = threefold.compare(FIVE + GATE, *LASTS, failing=HALF_FAIL, objectives=JUDGED)
    compared.equal(requests=10).verdict("fail", plain=9, reason="the scenario ended with exit code 9")
    assert compared.run.run_json()["scenario_exit_code"] == 9


@pytest.mark.conforms("the same gate, when it finds nothing", "equal")
def test_a_gate_that_finds_nothing(threefold: Threefold):
    compared = threefold.compare(FIVE + GATE, *LASTS)
    compared.equal(requests=10).passed()
    assert compared.run.run_json()["scenario_exit_code"] == 0


IN_TEST_STOP = """
@events.test_stop.add_listener
def judge(environment, **_):
    environment.process_exit_code = 6
"""
KNOWN_TO_WORKERS = """
@events.quitting.add_listener
def judge(environment, **_):
    if len(Caller.said) == 10:
        environment.process_exit_code = 4
"""
SYS_EXIT = """
import sys

@events.quitting.add_listener
def judge(environment, **_):
    sys.exit(5)
"""
RAISES_IN_REQUEST = """
@events.request.add_listener
def judge(**_):
    raise ValueError("never")
"""
RAISES_IN_QUITTING = """
@events.quitting.add_listener
def judge(environment, **_):
    raise ValueError("never")
"""


@pytest.mark.parametrize(
    ("source", "code", "reason"),
    [
        pytest.param(
            IN_TEST_STOP,
            6,
            "the scenario ended with exit code 6",
            id="process_exit_code set in test_stop",
            marks=pytest.mark.conforms("`process_exit_code` set in `test_stop`", "equal: not 0, and fail"),
        ),
        pytest.param(
            KNOWN_TO_WORKERS,
            4,
            "the scenario ended with exit code 4 on worker 0",
            id="process_exit_code from what tasks have noted, which only workers know",
            marks=pytest.mark.conforms(
                "`process_exit_code` from what tasks have noted, which only workers know", "equal: not 0, and fail"
            ),
        ),
        pytest.param(
            SYS_EXIT,
            5,
            "the scenario ended with exit code 5",
            id="sys.exit in quitting",
            marks=pytest.mark.conforms("`sys.exit` in `quitting`", "equal: not 0, and fail"),
        ),
        pytest.param(
            RAISES_IN_REQUEST,
            2,
            "Locust's exit code on worker 0 is 2: code of the scenario outside of tasks raised an exception",
            id="a request listener that raises",
            marks=pytest.mark.conforms("a `request` listener that raises", "equal: not 0, and fail"),
        ),
        pytest.param(
            RAISES_IN_QUITTING,
            2,
            "Locust's exit code is 2: code of the scenario outside of tasks raised an exception",
            id="a quitting listener that raises",
            marks=pytest.mark.conforms("a `quitting` listener that raises", "equal: not 0, and fail"),
        ),
    ],
)
def test_other_ends_with_a_code(threefold: Threefold, source: str, code: int, reason: str):
    compared = threefold.compare(FIVE + source, *LASTS)
    compared.equal(requests=10).verdict("fail", plain=code, reason=reason)


@pytest.mark.conforms("requests that fail, without an objective on failures", "equal: exit code 1, and fail")
def test_failures_that_nothing_judges(threefold: Threefold):
    compared = threefold.compare(FIVE, *LASTS, failing=HALF_FAIL, objectives=CALM)
    compared.equal(requests=10).verdict("fail", plain=1, reason=UNJUDGED)


@pytest.mark.conforms("requests that fail, with `--exit-code-on-error 0`", "equal: exit code 0, and pass")
def test_failures_that_may_be(threefold: Threefold):
    compared = threefold.compare(FIVE, *LASTS, "--exit-code-on-error", "0", failing=HALF_FAIL, objectives=CALM)
    compared.equal(requests=10).passed()


@pytest.mark.conforms(
    "requests that fail, with an objective on failures that holds",
    "on purpose: plain Locust exits with 1 after any failed request; if all are in the window, the objective decides "
    "instead, and a note says so",
)
def test_failures_that_an_objective_judges(threefold: Threefold):
    compared = threefold.compare(FIVE + AFTER_RAMP, *LASTS, failing=HALF_FAIL, objectives=JUDGED).equal(requests=10)
    found = compared.run.run_json()
    assert (compared.locust.exit_code, found["verdict"], found["scenario_exit_code"]) == (1, "pass", 1)
    assert f"Locust's exit code is 1, {UNJUDGED}; the objectives judge that" in found["notices"]


@pytest.mark.conforms(
    "requests that fail during the ramp, with an objective on failures that holds in the window",
    "equal: exit code 1, and fail",
)
def test_failures_that_no_objective_sees(threefold: Threefold):
    compared = threefold.compare(FIVE, *LASTS, "-r", "0.5", failing=HALF_FAIL, objectives=JUDGED).equal(requests=10)
    found = compared.run.run_json()
    assert (compared.locust.exit_code, found["verdict"], found["scenario_exit_code"]) == (1, "fail", 1)
    assert "of them outside the window, where no objective judges" in found["reasons"][0]
