"""What a scenario passes as a body, as bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.lean import payload

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
