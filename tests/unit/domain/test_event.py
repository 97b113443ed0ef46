"""Events as they are stored and sent."""

import json

import pytest

from loadstone.domain.event import (
    Event,
    EventKind,
    ExceptionRaised,
    NamesCapped,
    Payload,
    ScenarioIdentity,
    Started,
    TargetExited,
    Users,
    decode_event,
    encode_event,
    payload_of,
)
from loadstone.domain.request_name import RequestName
from loadstone.errors import FormatError

STARTED = Started(
    scenario=ScenarioIdentity(files=("a.py",), digest="sha256:0", user_classes=("U",)),
    host="http://target",
    users=50,
    spawn_rate=10,
    seed=1 << 70,
    objectives=("p95<500ms",),
    target={"name": "model", "limits": {"cpu": 2}},
    versions={"python": "3.11"},
)


def event_of(payload: Payload) -> Event:
    return Event(run="r", at_ns=7, source="master", seq=3, payload=payload)


def blob_of(kind: str, **data: object) -> bytes:
    return json.dumps({"run": "r", "kind": kind, "at_ns": 7, "source": "master", "seq": 3, "data": data}).encode()


@pytest.mark.parametrize(
    "payload",
    [
        STARTED,
        Users(users=3, target_users=5, workers=1),
        ExceptionRaised(message="boom \u20ac", traceback="line 1\nline 2", count=2, node="host_a", worker=0),
        NamesCapped(limit=2, names=(RequestName("GET", "/"), RequestName("POST", "/a"))),
        *(payload_of(kind, {}) for kind in EventKind),
    ],
)
def test_an_event_is_the_same_after_it_was_sent(payload: Payload):
    assert decode_event(encode_event(event_of(payload))) == event_of(payload)


def test_an_event_is_json_with_its_kind_beside_its_data():
    assert json.loads(encode_event(event_of(TargetExited(code=-9)))) == {
        "run": "r",
        "kind": "target_exited",
        "at_ns": 7,
        "source": "master",
        "seq": 3,
        "data": {"code": -9},
    }


def test_keys_that_are_not_known_are_ignored_and_missing_ones_have_their_default():
    found = decode_event(blob_of("exception", message="boom", colour="red")).payload
    assert found == ExceptionRaised(message="boom", traceback="", count=1, node=None, worker=None)


def test_a_whole_number_may_be_written_as_a_float():
    assert decode_event(blob_of("started", users=10.0)).payload == Started(users=10)
    assert payload_of(EventKind.USERS, {"target_users": 10.0}) == Users(target_users=10)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"[]",
        b"\xff",
        blob_of("unheard_of"),
        blob_of("users", users="many"),
        blob_of("users", users="4"),
        blob_of("users", users=4.5),
        blob_of("roster", workers="all"),
        blob_of("started", scenario="a.py"),
        blob_of("names_capped", names=[["GET"]]),
        b'{"run":"r","kind":"users","at_ns":"now","source":"master","seq":3,"data":{}}',
        b'{"kind":"users","at_ns":7,"source":"master","seq":3,"data":{}}',
        b'{"run":"r","kind":"users","at_ns":7,"source":"master","seq":3,"data":[]}',
    ],
)
def test_what_is_no_event_is_refused(blob: bytes):
    with pytest.raises(FormatError, match="not an event"):
        decode_event(blob)


def test_data_of_the_wrong_type_is_refused_with_the_kind_and_the_key():
    with pytest.raises(FormatError, match=r"event target_exited: .*code"):
        payload_of(EventKind.TARGET_EXITED, {"code": "nine"})


def test_characters_that_utf_8_does_not_have_cost_no_event():
    sent = decode_event(encode_event(event_of(ExceptionRaised(message="file \udc80"))))
    assert sent.payload == ExceptionRaised(message="file ?")
