"""Limits as text: what is written is exactly what is meant."""

from __future__ import annotations

import pytest

from loadstone.rig.rig import limits_text, memory_text
from loadstone.settings.axes import size_bytes

MIB = 1024**2


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (512 * MIB, "512m"),
        (1024 * MIB, "1g"),
        (1536 * MIB, "1.5g"),
        (1700 * MIB, "1700m"),
        (12_345_678 * MIB, "12345678m"),
        (int(0.1 * 1024**3), "107374182b"),
        (512 * MIB + 1, "536870913b"),
        (512 * MIB + 4096, "524292k"),
        (MIB // 2, "512k"),
    ],
)
def test_memory_is_told_exactly_as_docker_takes_it(size: int, text: str):
    assert memory_text(size) == text
    assert size_bytes(text) == size


def test_limits_are_told_with_what_has_none():
    assert limits_text(0.5, 512 * MIB, 1) == "0.5 CPU and 512m x 1 replica"
    assert limits_text(None, None) == "no limit of CPU and no limit of memory"
