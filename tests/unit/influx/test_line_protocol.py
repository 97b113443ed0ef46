"""Line protocol: whatever names and errors contain, every point arrives, intact or cut as documented."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.batch import NO_ERROR
from loadstone.domain.text import TEXT_LIMIT, clean_text
from loadstone.influx.encode import request_lines
from loadstone.influx.line_protocol import clean_tag, point, quoted, tags
from support.line_protocol import parse_line
from support.run_maker import START, IncarnationMaker, Sample

HOSTILE = (
    st.text()
    | st.text(alphabet='\\,= "\n\r\t\x00#\x7f😀é')
    | st.sampled_from(["", "\\", "a\\\\", " ", "\n", "😀" * 3000, "x" * 10_000, "ends in \\ ", "time", "#"])
)


@given(HOSTILE, HOSTILE)
def test_any_tag_value_arrives_cleaned_and_never_breaks_its_line(first: str, second: str):
    line = point("m" + tags({"a": first, "b": second}), {"n": 1}, 5)
    key, fields = parse_line(line.encode())
    assert dict(key.tags) == {k: v for k, v in {"a": clean_tag(first), "b": clean_tag(second)}.items() if v}
    assert (key.measurement, key.time_ns, fields) == ("m", 5, {"n": 1})


@given(HOSTILE)
def test_any_text_arrives_cleaned_as_a_field(text: str):
    _, fields = parse_line(point("m", {"text": text}, 5).encode())
    assert fields == {"text": clean_text(text)}


@given(HOSTILE)
def test_cleaning_changes_nothing_but_control_characters_length_and_backslashes_at_the_end(text: str):
    kept = clean_text(text)
    assert len(kept.encode()) <= TEXT_LIMIT
    if len(text.encode("utf-8", "replace")) <= TEXT_LIMIT and text.isprintable():
        assert kept == text
        assert clean_tag(text) == text.rstrip("\\")


def test_a_text_is_cut_between_characters():
    assert clean_text("😀" * 1000) == "😀" * (TEXT_LIMIT // 4)
    assert clean_text("x" + "😀" * 1000) == "x" + "😀" * ((TEXT_LIMIT - 1) // 4)


def test_a_lone_surrogate_becomes_a_question_mark():
    assert quoted("a\ud800b") == '"a?b"'


def test_secrets_are_masked_in_tags_and_texts():
    assert "hunter2" not in tags({"name": "/login?password=hunter2"}) + quoted("https://me:hunter2@host/")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 2**63])
def test_a_value_that_influxdb_refuses_is_left_out(value: float | None):
    assert point("m", {"bad": value, "n": 1}, 5) == "m n=1i 5"
    assert not point("m", {"bad": value}, 5)


@given(
    st.lists(
        st.builds(
            Sample,
            end_s=st.floats(0, 1000),
            duration_us=st.integers(0, 2**53),  # 285 years: what a float holds exactly
            name=st.tuples(HOSTILE, HOSTILE),
            error=st.none() | HOSTILE,
            status=st.integers(-1, 999),
            bytes=st.integers(0, 2**62),
            ttfb_us=st.integers(-1, 2**31 - 1),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda sample: sample.end_ns,
    )
)
def test_every_sample_becomes_one_valid_point_with_its_own_values(taken: list[Sample]):
    batch = IncarnationMaker(worker=3, run="r1").batch(taken)
    lines = request_lines(batch, batch.names)
    points = dict(parse_line(line.encode()) for line in lines)
    assert len(points) == len(taken)
    for (key, fields), sample in zip(points.items(), taken, strict=True):
        tags_of = dict(key.tags)
        assert (tags_of["run"], tags_of["worker"], key.time_ns) == ("r1", "3", sample.end_ns)
        assert tags_of.get("method", "") == clean_tag(sample.name[0])
        assert tags_of.get("name", "") == clean_tag(sample.name[1])
        assert tags_of["ok"] == ("t" if sample.error is None else "f")
        assert fields["rt_ms"] == sample.duration_us / 1000
        assert (fields["bytes"], fields["status"]) == (sample.bytes, sample.status)
        assert fields.get("ttfb_ms") == (None if sample.ttfb_us < 0 else sample.ttfb_us / 1000)
        assert fields.get("error") == (None if sample.error is None else clean_text(sample.error))


@given(st.lists(st.tuples(st.integers(-1, 10**7), st.integers(-1, 10**7), st.none() | HOSTILE), min_size=1, max_size=9))
def test_under_the_open_model_a_point_has_both_times_and_the_lateness_of_its_iteration(
    rows: list[tuple[int, int, str | None]],
):
    taken = [
        Sample(at, duration_us, ("GET", ",service_ms=1 2"), error, late_us=late_us)
        for at, (duration_us, late_us, error) in enumerate(rows)
    ]
    batch = IncarnationMaker().batch(taken, arrivals=ArrivalCounts(9, 9, 0))
    for line, (duration_us, late_us, error) in zip(request_lines(batch, batch.names), rows, strict=True):
        _, fields = parse_line(line.encode())
        timed = duration_us >= 0
        assert fields.get("rt_ms") == ((duration_us + max(0, late_us)) / 1000 if timed else None)
        assert fields.get("service_ms") == (duration_us / 1000 if timed else None)
        assert fields.get("late_ms") == (late_us / 1000 if late_us >= 0 else None)
        assert fields.get("error") == (None if error is None else clean_text(error))


def test_a_batch_gives_the_same_lines_however_often_it_is_formatted():
    batch = IncarnationMaker().batch([Sample(0.1), Sample(0.2, error="boom", status=500)])
    assert request_lines(batch, batch.names) == request_lines(batch, batch.names)


def test_samples_of_two_workers_at_the_same_moment_are_two_points():
    batches = [IncarnationMaker(worker=worker).batch([Sample(0.1)]) for worker in (1, 2)]
    keys = {parse_line(line.encode())[0] for batch in batches for line in request_lines(batch, batch.names)}
    assert len(keys) == 2


def test_the_timestamp_is_the_end_of_the_request():
    batch = IncarnationMaker().batch([Sample(1.5)])
    assert np.all(batch.columns.error == NO_ERROR)
    assert request_lines(batch, batch.names)[0].endswith(f" {START + 1_500_000_000}")
