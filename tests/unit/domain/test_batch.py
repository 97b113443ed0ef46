"""A batch reads back as it was sent; version 2 is version 1 with one more column, sent only where it says anything."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.batch import COLUMNS, NO_INTENT, Columns, decode_batch, encode_batch, no_intents
from loadstone.domain.limits import MAX_DURATION_US
from loadstone.errors import FormatError
from support.forged import open_blob
from support.run_maker import IncarnationMaker, Sample, samples

if TYPE_CHECKING:
    from loadstone.domain.batch import Batch

OF_THE_VERSION_BEFORE = "206f4debf2dc080cb630154ed29ee5b5c16a0826f21f8f9c0b5ac8bdf2d29ce6"
"""SHA-256 of a batch as loadstone encoded it before there was a version 2."""
lateness = st.integers(0, MAX_DURATION_US) | st.just(NO_INTENT)
counts = st.builds(lambda sent, not_sent: ArrivalCounts(sent + not_sent, sent, not_sent), *[st.integers(0, 10**11)] * 2)


def batch_of(late_us: list[int], arrivals: ArrivalCounts | None = None) -> Batch:
    taken = [replace(each, late_us=late) for each, late in zip(samples(len(late_us), 0, 1), late_us, strict=True)]
    return IncarnationMaker().batch(taken, at_s=1, arrivals=arrivals)


def header_and_columns(blob: bytes) -> tuple[dict[str, object], bytes]:
    (length,) = struct.unpack_from("<I", blob, 4)
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


@given(st.lists(lateness, max_size=20), st.none() | counts)
def test_a_batch_reads_back_as_it_was_sent(late_us: list[int], arrivals: ArrivalCounts | None):
    sent = batch_of(late_us, arrivals)
    read = decode_batch(encode_batch(sent))
    assert read.arrivals == arrivals
    assert encode_batch(read) == encode_batch(sent)
    for name in COLUMNS:
        assert getattr(read.columns, name).tolist() == getattr(sent.columns, name).tolist(), name


@given(st.lists(lateness, max_size=20))
def test_lateness_is_sent_only_where_a_request_has_an_intended_start(late_us: list[int]):
    sent = batch_of(late_us)
    closed = replace(sent, columns=replace(sent.columns, late_us=no_intents(len(late_us))))
    (header, body), (closed_header, closed_body) = map(header_and_columns, map(encode_batch, (sent, closed)))
    column = np.array(late_us, "<i8").tobytes() if max(late_us, default=NO_INTENT) >= 0 else b""
    assert (header.pop("v"), closed_header.pop("v")) == (2 if column else 1, 1)
    assert (header, body) == (closed_header, closed_body + column)


def test_a_batch_of_the_closed_model_has_the_bytes_that_it_always_had():
    taken = [Sample(0.25, 1500), Sample(0.5, -1, ("POST", "/ä"), "HTTPError('503')", 503, 0, 700)]
    blob = encode_batch(IncarnationMaker(worker=2).batch(taken, final=True))
    assert hashlib.sha256(blob).hexdigest() == OF_THE_VERSION_BEFORE


def test_arrivals_alone_are_a_key_of_version_1_which_the_version_before_ignores():
    header, body = header_and_columns(encode_batch(batch_of([NO_INTENT] * 3, ArrivalCounts(5, 3, 2))))
    closed_header, closed_body = header_and_columns(encode_batch(batch_of([NO_INTENT] * 3)))
    assert header == closed_header | {"arrivals": [5, 3, 2, 0]}
    assert body == closed_body


def test_a_batch_without_lateness_has_no_intended_starts():
    columns = decode_batch(encode_batch(batch_of([NO_INTENT] * 3))).columns
    assert columns.late_us.tolist() == [NO_INTENT] * 3
    assert not columns.have_intents
    assert not Columns.empty().have_intents


def test_lateness_out_of_range_is_cut_to_the_range():
    read = decode_batch(open_blob([-(2**63), -2, 0, MAX_DURATION_US + 1, 2**63 - 1]))
    assert read.columns.late_us.tolist() == [NO_INTENT, NO_INTENT, 0, MAX_DURATION_US, MAX_DURATION_US]


def test_a_batch_of_version_2_without_its_column_is_damaged():
    with pytest.raises(FormatError, match="200 bytes of columns where 5 samples take 240"):
        decode_batch(open_blob([]))


@pytest.mark.parametrize("version", [0, 3, "2", None, [2], {"2": 2}], ids=str)
def test_a_batch_of_any_other_version_is_refused_for_its_version(version: object):
    with pytest.raises(FormatError, match=r"batch has format version .*; this version reads 1 and 2"):
        decode_batch(open_blob([0] * 5, v=version))


def test_counts_of_arrivals_add_up_and_tell_what_was_added():
    before, now = ArrivalCounts(10, 9, 1), ArrivalCounts(25, 22, 3)
    assert now.since(before) == ArrivalCounts(15, 13, 2)
    assert before.plus(now.since(before)) == now
    assert before.since(now) == (0, 0, 0, 0)
