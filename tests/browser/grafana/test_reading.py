"""The check of shown values itself: it reads Grafana's texts, and lets neither a wrong digit nor a wrong unit pass."""

from __future__ import annotations

from typing import Any

import pytest

from support.boards.values import Between, Near, OneOf
from support.grafana_reading import says

RIGHT = [
    ("39.0 ms", 39.0395, "ms"),
    ("1.4 s", 1350.0, "ms"),
    ("2,548", 2548, "number"),
    ("2.55 K", 2548, "number"),
    ("9.31%", 9.3137, "%"),
    ("24.9 MiB", 26_112_000, "B"),
    ("16.7 ms", Near(16.65), "ms"),
    ("12", OneOf((11, 12)), "number"),
    ("7", Between(6, 8), "number"),
    ("proved", True, "number"),
    ("1082", "1082", "number"),
    ("", None, "ms"),
]
WRONG = [
    ("39.0 s", 39.0395, "ms"),
    ("39.1 ms", 39.0395, "ms"),
    ("39.0", 39.0395, "ms"),
    ("39.0 ms", 39.0395, "%"),
    ("2,547", 2548, "number"),
    ("0.0931%", 9.3137, "%"),
    ("24.9 MB", 26_112_000, "B"),
    ("17.0 ms", Near(16.65), "ms"),
    ("13", OneOf((11, 12)), "number"),
    ("open", True, "number"),
    ("1.08 K", "1082", "number"),
    ("0 ms", None, "ms"),
    ("", 5.0, "ms"),
    ("yes: no worker lagged", 12.0, "lag"),
]


@pytest.mark.parametrize(("text", "value", "kind"), RIGHT)
def test_a_right_text_passes(text: str, value: Any, kind: str):
    assert says(text, value, kind)


@pytest.mark.parametrize(("text", "value", "kind"), WRONG)
def test_a_wrong_text_does_not(text: str, value: Any, kind: str):
    assert not says(text, value, kind)
