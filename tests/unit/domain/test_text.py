"""Secrets are masked, everything else stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.text import mask_secrets, mask_values


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:pass@host:80/x", "http://***@host:80/x"),
        ("redis://:p@ss@host", "redis://***@host"),
        ("https://t0ken@host", "https://***@host"),
        ("GET /a?api_key=1&b=2", "GET /a?api_key=***&b=2"),
        ("/a?b=2&ACCESS_TOKEN=x#part", "/a?b=2&ACCESS_TOKEN=***#part"),
        ("/a?key=k;x", "/a?key=***;x"),
        ("refused: Authorization: Bearer abcdefgh.ijkl", "refused: Authorization: Bearer ***"),
        ("mail me@example.com", "mail me@example.com"),
        ("/a?monkey=1&page=2", "/a?monkey=1&page=2"),
        ("a token is short", "a token is short"),
        ("http://host/path@2", "http://host/path@2"),
    ],
)
def test_only_secrets_are_masked(text, masked):
    assert mask_secrets(text) == masked


@given(st.text())
def test_masking_twice_changes_nothing_more(text):
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


def test_values_are_masked_at_any_depth():
    values = {"a": ["x://u:p@h", {"b": "?token=1"}], "n": 1, "none": None}
    assert mask_values(values) == {"a": ["x://***@h", {"b": "?token=***"}], "n": 1, "none": None}
