from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.time import NS_PER_S, iso, parse_iso_ns


def test_a_moment_is_written_to_the_microsecond_in_utc():
    assert iso(1_790_000_000 * NS_PER_S + 60_366_999) == "2026-09-21T14:13:20.060366Z"


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_written_moment_is_read_back_to_the_microsecond(at_us: int):
    assert parse_iso_ns(iso(at_us * 1000)) == at_us * 1000


def test_what_is_no_moment_is_refused():
    with pytest.raises(ValueError, match="isoformat"):
        parse_iso_ns("yesterday")
