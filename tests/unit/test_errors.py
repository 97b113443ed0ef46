"""How an error reads: what is wrong, and what to do."""

from __future__ import annotations

import pytest

from loadstone.errors import LoadstoneError


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ("it is off", "it is off. Turn it on"),
        ("it is off.", "it is off. Turn it on"),
        ("is it on?", "is it on? Turn it on"),
        ("it burns!", "it burns! Turn it on"),
    ],
)
def test_a_message_and_its_cure_are_two_sentences(message: str, read: str):
    assert str(LoadstoneError(message, hint="Turn it on")) == read
    assert str(LoadstoneError(message)) == message
