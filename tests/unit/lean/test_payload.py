"""What a scenario passes as a body, as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from loadstone.lean import payload

if TYPE_CHECKING:
    from pathlib import Path

leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats()), inner),
    ),
)


@given(values)
def test_json_is_what_json_dumps_gives(value: Any):
    assert payload.encode_json(value) == json.dumps(value).encode()


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {1, 2}, b"bytes"])
def test_what_json_cannot_say_raises_what_json_dumps_raises(value: Any):
    with pytest.raises(TypeError) as theirs:
        json.dumps(value)
    with pytest.raises(TypeError) as ours:
        payload.encode_json(value)
    assert str(ours.value) == str(theirs.value)


def test_a_circular_value_is_named_as_such():
    value: list[Any] = []
    value.append(value)
    with pytest.raises((ValueError, RecursionError)):
        payload.encode_json(value)


def test_json_without_a_c_encoder_is_the_same(monkeypatch: Any):
    monkeypatch.setattr(payload, "_encode", None)
    assert payload.encode_json({"a": [1.5, "ü"]}) == b'{"a": [1.5, "\\u00fc"]}'


@pytest.mark.parametrize("data", [None, "", b"", {}])
def test_json_counts_where_data_is_empty_as_in_fast_http_user(data: Any):
    assert payload.encode_payload(data, {"a": 1}, None) == (b'{"a": 1}', payload.JSON_FIELDS)


def test_data_wins_over_json():
    assert payload.encode_payload("text", {"a": 1}, None) == (b"text", payload.TEXT_FIELDS)


def test_no_body_has_no_fields():
    assert payload.encode_payload(None, None, None) == (b"", ())


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ({"a": None}, "/p"),
        ({"a": None, "b": 1}, "/p?b=1"),
        ({"a": [1, None, "x y"], "b": ("z",)}, "/p?a=1&a=x+y&b=z"),
        ([("a", 1), ("a", 2), ("b", None)], "/p?a=1&a=2"),
        ({"a": "", "b": 0, "c": False}, "/p?a=&b=0&c=False"),
        (b"ready=made", "/p?ready=made"),
        ({b"a": b"b"}, "/p?a=b"),
        ({"é": "☃"}, "/p?%C3%A9=%E2%98%83"),
    ],
)
def test_parameters_that_are_none_are_left_out(params: Any, url: str):
    assert payload.add_params("/p", params) == url


@given(st.dictionaries(st.text(), st.one_of(leaves, st.lists(leaves))))
def test_parameters_are_those_that_requests_sends(params: Any):
    theirs = requests.Request("GET", "http://h/p", params=params).prepare().url
    ours = payload.add_params("http://h/p", params)
    assert parse_qsl(urlsplit(ours).query) == parse_qsl(urlsplit(str(theirs)).query)


def test_form_fields_that_are_none_are_left_out():
    assert payload.encode_payload({"a": None, "b": [1, None, 2]}, None, None) == (b"b=1&b=2", payload.FORM_FIELDS)


FILES: dict[str, Any] = {
    "content": {"f": b"content"},
    "text": {"f": "content"},
    "name and content": {"f": ("a.txt", b"content")},
    "a list": {"f": ["a.txt", b"content"]},
    "content type": {"f": ("a.txt", b"content", "text/x")},
    "headers": {"f": ("a.txt", b"content", "text/x", {"X-Part": "1", "Expires": "0"})},
    "headers without a type": {"f": ("a.txt", b"content", None, {"X-Part": "1"})},
    "no name": [("f", (None, b"content"))],
    "None": {"f": ("a.txt", None), "g": b"1"},
    "name beyond ASCII": {"f": ("ü.txt", b"content")},
    "the same name twice": [("f", ("a", b"1")), ("f", ("b", b"2"))],
}


@pytest.mark.parametrize("data", [None, {"a": 1}, {"a": [1, "ü"], "b": None}, [("a", b"\xff"), ("a", "2")]])
@pytest.mark.parametrize("case", FILES)
def test_files_are_sent_as_requests_sends_them(case: str, data: Any):
    theirs = requests.Request("POST", "http://h/", files=FILES[case], data=data).prepare()
    body, (_, content_type) = payload.encode_payload(data, None, FILES[case])
    boundaries = [
        str(announced).partition("boundary=")[2] for announced in (content_type, theirs.headers["Content-Type"])
    ]
    assert isinstance(theirs.body, bytes)
    assert body.replace(boundaries[0].encode(), b"=") == theirs.body.replace(boundaries[1].encode(), b"=")


def test_a_file_is_read_and_named_without_its_folder(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"content")
    with (tmp_path / "a.txt").open("rb") as file:
        body, _ = payload.encode_payload(None, None, {"f": file})
    assert b'name="f"; filename="a.txt"\r\n\r\ncontent\r\n' in body


def test_a_boundary_of_one_s_own_is_used_as_in_fast_http_user():
    body, fields = payload.encode_payload(None, None, {"f": ("a", b"1", "text/x", {}, "mine")})
    assert fields == ("Content-Type", "multipart/form-data; boundary=mine")
    assert body.endswith(b"--mine--\r\n")


@pytest.mark.parametrize("value", [("only a name",), ("a", b"1", "t", {}, "b", "more")])
def test_a_tuple_of_another_length_says_what_is_allowed(value: Any):
    with pytest.raises(ValueError, match=r"'f' of files: a tuple of \d; pass \(file name, content\)"):
        payload.encode_payload(None, None, {"f": value})


@pytest.mark.parametrize("data", ["text", b"bytes"])
def test_files_beside_text_are_refused(data: Any):
    with pytest.raises(ValueError, match="pass data as a dict or pairs"):
        payload.encode_payload(data, None, {"f": b"1"})
