"""HttpUser, FastHttpUser and LeanHttpUser play the same scenarios; every difference is listed here and in the docs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from locust import FastHttpUser, HttpUser

from loadstone import LeanHttpUser
from support.conformance import WELL_BEHAVED, Outcome, misbehaviours, play
from support.raw_server import RawServer

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "lean-http-user.md"
OTHERS = {"HttpUser": HttpUser, "FastHttpUser": FastHttpUser}
MISBEHAVIOURS = list(misbehaviours(RawServer()))
FIELDS = ("status", "content", "failed", "requests", "length", "name", "method", "connections")

RAISES = {"raises"}
DIFFERENCES: dict[str, dict[str, set[str]]] = {
    "HttpUser": {
        "redirects without end": {"status"},
        "early close in the head": {"status", "failed"},
        "early close in the body": {"status"},
        "early close in a chunk": {"status"},
        "early close before the last chunk": {"status"},
        "length too long": {"status"},
        "bad chunk size": {"status"},
        "negative length": {"status", "content", "failed", "length"},
        "length of letters": {"status", "content", "failed", "length"},
        "103 first": {"status", "content", "length"},
        "garbage after the response": {"connections"},
        "a pipelined second response": {"connections"},
        "stale connection, GET": {"status", "content", "failed", "length", "connections"},
        "lines end in LF": {"status", "content", "failed", "length"},
        "NUL in a header": {"status", "content", "failed", "length"},
        "broken gzip": {"status"},
    },
    "FastHttpUser": {
        "redirects without end": {"status"},
        "early close, no byte": {"connections"},
        "reset": {"connections"},
        "early close in the body": {"content"},
        "early close in a chunk": {"content"},
        "early close before the last chunk": {"content"},
        "length too long": {"content"},
        "length too short": {"status", "content", "failed", "length"},
        "bad chunk size": {"status"},
        "huge headers": {"status", "content", "failed", "length"},
        "one huge header": {"status", "content", "failed", "length"},
        "204 with a body": {"status", "failed"},
        "304 with a body": {"status", "failed"},
        "garbage after the response": {"connections"},
        "a pipelined second response": {"connections"},
        "folded header": {"status", "content", "failed", "length"},
        "broken gzip": RAISES,
        "unknown encoding": RAISES,
    },
}
"""Where the other class's outcome is not the lean one's: the fields that differ. The docs give the reason of each."""


def attempt(user_class: Any, url: str, scenario: Any) -> Outcome | None:
    """Play a scenario; None if the class lets an error reach the scenario, as FastHttpUser does for broken bodies."""
    try:
        return play(user_class, url, scenario)
    except Exception:
        if user_class is LeanHttpUser:
            raise
        return None


def differing(ours: Outcome, theirs: Outcome | None) -> set[str]:
    """Give the names of the fields that differ, failures compared by whether there is one."""
    if theirs is None:
        return RAISES

    def value(outcome: Outcome, field: str) -> Any:
        return bool(outcome.failure) if field == "failed" else getattr(outcome, field)

    return {field for field in FIELDS if value(ours, field) != value(theirs, field)}


@pytest.fixture
def servers() -> Iterator[Any]:
    """Make raw servers that are stopped after the test."""
    made: list[RawServer] = []

    def make() -> RawServer:
        made.append(RawServer())
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the stock clients drop sockets of failed requests unclosed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("case", WELL_BEHAVED)
def test_the_outcome_with_a_sound_server_is_that_of_the_other_classes(uvicorn_url: str, case: str, other: str):
    ours = attempt(LeanHttpUser, uvicorn_url, WELL_BEHAVED[case])
    theirs = attempt(OTHERS[other], uvicorn_url, WELL_BEHAVED[case])
    assert ours is not None
    assert differing(ours, theirs) == DIFFERENCES[other].get(case, set())
    if other == "FastHttpUser" and case not in DIFFERENCES[other]:
        assert theirs is not None
        assert ours.failure == theirs.failure


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("case", MISBEHAVIOURS)
def test_the_outcome_with_a_misbehaving_server_differs_only_where_listed(servers: Any, case: str, other: str):
    outcomes: list[Outcome | None] = []
    for user_class in (LeanHttpUser, OTHERS[other]):
        raw = servers()
        scenario, scripts = misbehaviours(raw)[case]
        outcome = attempt(user_class, raw.answers(*scripts), scenario)
        outcomes.append(outcome and replace(outcome, connections=raw.connections))
    ours, theirs = outcomes
    assert ours is not None
    assert differing(ours, theirs) == DIFFERENCES[other].get(case, set())


def test_the_docs_say_how_many_scenarios_are_played():
    assert f"A test plays {len(WELL_BEHAVED) + len(MISBEHAVIOURS)} scenarios" in DOCS.read_text()


@pytest.mark.parametrize("case", sorted({case for listed in DIFFERENCES.values() for case in listed}))
def test_the_docs_give_the_reason_of_each_difference(case: str):
    assert f"| {case} |" in DOCS.read_text()
