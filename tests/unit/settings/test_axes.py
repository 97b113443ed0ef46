"""Ranges and lists of what a study may try."""

from __future__ import annotations

import re

import pytest

from loadstone.settings import axes

MIB = 1024**2


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0.25..1", (0.25, 0.5, 0.75, 1.0)),
        ("0.1..0.3", (0.1, 0.2, 0.3)),
        ("0.5..3/0.75", (0.5, 1.25, 2.0, 2.75, 3.0)),
        ("0.3..1", (0.3, 0.6, 0.9, 1.0)),
        ("2", (2.0,)),
        ("2..2", (2.0,)),
        ("1, 2, 4", (1.0, 2.0, 4.0)),
        ("1..2.5/.5", (1.0, 1.5, 2.0, 2.5)),
        (".5..1", (0.5, 1.0)),
        (".25,.5", (0.25, 0.5)),
    ],
)
def test_cores_are_a_range_with_its_upper_end_or_a_list(text: str, cores: tuple[float, ...]):
    assert axes.cores(text) == cores


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("256m..1g", (256, 512, 768, 1024)),
        ("1g..2g/512m", (1024, 1536, 2048)),
        ("512MiB,1.5g,2Gi", (512, 1536, 2048)),
        ("268435456", (256,)),
    ],
)
def test_memory_has_the_units_of_docker(text: str, mib: tuple[int, ...]):
    assert axes.memory(text) == tuple(each * MIB for each in mib)


@pytest.mark.parametrize(
    ("text", "replicas"), [("1..4", (1, 2, 3, 4)), ("2", (2,)), ("1,3", (1, 3)), ("2..6/2", (2, 4, 6))]
)
def test_replicas_go_in_steps_of_one(text: str, replicas: tuple[int, ...]):
    assert axes.replicas(text) == replicas


@pytest.mark.parametrize("text", ["3..0.25", "2,1", "1,1"])
def test_a_range_upside_down_is_refused_with_the_cure(text: str):
    with pytest.raises(ValueError, match="the smallest first"):
        axes.cores(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *(
            (axes.cores, text)
            for text in ("", "..", "1..", "..2", "a..b", "0..2", "-1..2", "0.001..9", "1e9", "nan", "inf")
        ),
        *((axes.cores, text) for text in ("1..2/0", "1..2/-1", "1..2/x", "1..2/", "0.01..1000", "1;2")),
        *((axes.memory, text) for text in ("0m..1g", "1m", "256q", "m", "1..2", "..1g")),
        *((axes.replicas, text) for text in ("0..2", "1.5", "-1", "1..9999", "one")),
    ],
)
def test_what_is_no_range_is_refused_with_what_is_allowed(parse, text: str):
    with pytest.raises(ValueError, match="such as"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "allowed"),
    [
        (axes.cores, "0.01..1000", "at most 201 steps, and these are 100,000: give a larger one behind a slash"),
        (axes.memory, "1g..1t/1g", "at most 201 steps, and these are 1,024: give a larger one behind a slash"),
        (axes.cores, "0.001..1", "at least 0.01 cores"),
        (axes.cores, "1..9999", "at most 1,024 cores"),
        (axes.memory, "1m..1g", "at least 6m of memory"),
        (axes.replicas, "1..9999", "at most 1,000 replicas"),
        (axes.replicas, "0..3", "at least 1 replica"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_bound(parse, text: str, allowed: str):
    with pytest.raises(ValueError, match=f"such as .*, {re.escape(allowed)}$"):
        parse(text)
