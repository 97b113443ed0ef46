"""Request events with values at which Locust's own listener raises, each beside events that it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Threefold

FIRING = (
    PRELUDE
    + """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Firing(User):
    wait_time = few(4)

    @task
    def go(self):
        self.fire(name="/good")
        self.fire(name="/odd", **dict(CHANGED))
        self.fire(name="/good")

    def fire(self, **changed):
        event = {"request_type": "CALL", "response_time": 40.0, "response_length": 10, "exception": None, "context": {}}
        self.environment.events.request.fire(**{**event, **changed})
"""
)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            "response_time='12'",
            marks=pytest.mark.conforms(
                "`request` with a time that is text",
                "on purpose: Locust's listener raises and loses the request, loadstone keeps it without a time; not 0, "
                "and fail",
            ),
        ),
        pytest.param(
            "response_length=None",
            marks=pytest.mark.conforms(
                "`request` with a `response_length` of None",
                "on purpose: Locust's listener raises and loses the request, loadstone keeps it with no bytes; not 0, "
                "and fail",
            ),
        ),
    ],
)
def test_an_event_that_locust_loses(threefold: Threefold, changed: str):
    compared = threefold.compare(FIRING.replace("CHANGED", changed))
    assert compared.locust.rows["CALL /good"].requests == 16
    assert compared.loadstone.by_name() == {"CALL /good": (16, 0), "CALL /odd": (8, 0)}
    assert compared.run.rows() == 24
    assert compared.locust.exit_code == 2, compared.locust.output
    assert compared.run.run_json()["verdict"] == "fail"
    assert compared.loadstone.exit_code == 1, compared.loadstone.output


@pytest.mark.conforms("`request` with a negative time", "differs on purpose: Locust adds it up, loadstone takes 0")
def test_a_negative_time(threefold: Threefold):
    compared = threefold.compare(FIRING.replace("CHANGED", "response_time=-5.0"))
    assert compared.locust.by_name() == compared.loadstone.by_name() == {"CALL /good": (16, 0), "CALL /odd": (8, 0)}
    assert [outcome.rows["CALL /odd"].mean_ms for outcome in compared.both] == [-5, 0]


@pytest.mark.conforms("`request` with an exception whose `str()` raises", "equal")
def test_an_exception_without_a_text(threefold: Threefold):
    compared = threefold.compare(FIRING.replace("CHANGED", "exception=Mute()"))
    assert compared.locust.by_name() == compared.loadstone.by_name() == {"CALL /good": (16, 0), "CALL /odd": (8, 8)}
    compared.verdict("fail", plain=1, reason="failures")
