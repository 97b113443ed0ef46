"""The proof of an entry: it holds for one run, one stream and one blob."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.stream.consumer import StreamEntry
from loadstone.stream.keys import EVENTS, SAMPLES
from loadstone.stream.proof import MAC_BYTES, RunSecret

MINE = RunSecret("r", b"k" * 32)


def entry_of(secret: RunSecret, blob: bytes, stream: str = SAMPLES) -> StreamEntry:
    return StreamEntry(stream, "1-0", secret.run, blob, secret.mac(stream, blob))


def test_it_is_an_hmac_over_stream_run_and_blob_with_their_lengths():
    covered = struct.pack("<HHQ", 7, 1, 4) + b"samples" + b"r" + b"blob"
    assert MINE.mac(SAMPLES, b"blob") == hmac.new(b"k" * 32, covered, hashlib.sha256).digest()
    assert len(MINE.mac(SAMPLES, b"blob")) == MAC_BYTES


@given(st.binary(max_size=200))
def test_what_was_made_with_the_secret_is_proven(blob: bytes):
    assert MINE.proves(entry_of(MINE, blob))


@pytest.mark.parametrize(
    "entry",
    [
        entry_of(RunSecret("r", b"l" * 32), b"blob"),
        entry_of(RunSecret("s", b"k" * 32), b"blob"),
        StreamEntry(EVENTS, "1-0", "r", b"blob", MINE.mac(SAMPLES, b"blob")),
        StreamEntry(SAMPLES, "1-0", "r", b"blob2", MINE.mac(SAMPLES, b"blob")),
        StreamEntry(SAMPLES, "1-0", "r", b"blob", MINE.mac(SAMPLES, b"blob")[:-1]),
        StreamEntry(SAMPLES, "1-0", "r", b"blob", MINE.mac(SAMPLES, b"blob") + b"\0"),
        StreamEntry(SAMPLES, "1-0", "s", b"blob", MINE.mac(SAMPLES, b"blob")),
        StreamEntry(SAMPLES, "1-0", "r", b"blob"),
        StreamEntry(SAMPLES, "1-0", "r", b"blob", bytes(MAC_BYTES)),
    ],
    ids=["key", "run of the key", "stream", "blob", "cut", "longer", "run", "none", "zeros"],
)
def test_what_differs_in_one_thing_is_not(entry: StreamEntry):
    assert not MINE.proves(entry)


@given(st.binary(min_size=1, max_size=50), st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_one_flipped_bit_is_noticed(blob: bytes, at: int, bit: int):
    flipped = bytearray(blob)
    flipped[at % len(blob)] ^= 1 << bit
    assert not MINE.proves(StreamEntry(SAMPLES, "1-0", "r", bytes(flipped), MINE.mac(SAMPLES, blob)))


def test_a_byte_that_moves_from_the_run_to_the_blob_changes_it():
    assert RunSecret("ab", MINE.key).mac(SAMPLES, b"c") != RunSecret("a", MINE.key).mac(SAMPLES, b"bc")


def test_secrets_are_long_differ_and_are_not_shown():
    one, two = RunSecret.new("r"), RunSecret.new("r")
    assert len(one.key) == 32
    assert one.key != two.key
    assert repr(one) == "RunSecret(run='r')"
