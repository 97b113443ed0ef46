"""Bodies that arrive in pieces: blocks, lines and encodings do not depend on how the network cuts them."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.lean.body import Body, lines_of, slices, text_lines_of, text_of
from loadstone.lean.decoding import decode_pieces
from loadstone.lean.errors import BodyDecodeError, ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = b"a body that is long enough to be worth compressing " * 50
ENCODED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN[:99]) + gzip.compress(PLAIN[99:]),
    "deflate": zlib.compress(PLAIN),
    "br": brotli.compress(PLAIN),
    "gzip, br": brotli.compress(gzip.compress(PLAIN)),
}


def cut(body: Any, places: list[int]) -> list[Any]:
    """Cut a body at these places; no piece is empty."""
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False) if body[start:end]]


def body_of(pieces: list[bytes], max_bytes: int = 1_000) -> tuple[Body, list[str]]:
    """Make a body of these pieces; the list gets an entry when it is released."""
    released: list[str] = []
    return Body(iter(pieces), lambda: released.append("released"), max_bytes), released


texts = st.text(alphabet="ab\r\n\u2028ü", max_size=30)
cuts = st.lists(st.integers(0, 100), max_size=8)


@given(texts, cuts)
def test_lines_of_bytes_are_those_of_the_whole_body(text: str, places: list[int]):
    body = text.encode()
    assert list(lines_of(cut(body, places))) == body.splitlines()


@given(texts, cuts)
def test_lines_of_text_are_those_of_the_whole_body(text: str, places: list[int]):
    assert list(lines_of(cut(text, places))) == text.splitlines()


@given(st.text(alphabet="ab|", min_size=1, max_size=30), cuts)
def test_a_delimiter_of_one_s_own_splits_the_whole_body(text: str, places: list[int]):
    assert list(lines_of(cut(text, places), "|")) == text.split("|")


def test_an_empty_body_has_no_lines():
    assert list(lines_of(list[bytes]())) == []
    assert list(lines_of(list[bytes](), b"|")) == []


def test_a_line_is_given_as_soon_as_its_end_is_known():
    given_out: list[str] = []

    def pieces() -> Iterator[str]:
        yield "data: 1\n"
        assert given_out == ["data: 1"]
        yield "data: 2\r"
        assert given_out == ["data: 1"], "the LF of a CRLF may still come"
        yield "\ndata: 3"
        assert given_out == ["data: 1", "data: 2"]

    for line in lines_of(pieces()):
        given_out.append(line)  # noqa: PERF402  # pieces() looks at what was given so far
    assert given_out == ["data: 1", "data: 2", "data: 3"]


@given(texts, cuts)
def test_lines_of_the_client_end_at_lf_only(text: str, places: list[int]):
    expected = [line.removesuffix("\r") for line in text.split("\n")]
    if text.endswith("\n") or not text:
        expected.pop()
    assert list(text_lines_of(cut(text.encode(), places))) == expected


@given(texts, cuts)
def test_characters_may_be_cut_anywhere(text: str, places: list[int]):
    assert "".join(text_of(cut(text.encode(), places), "utf-8")) == text


@pytest.mark.parametrize(
    ("size", "expected"), [(2, [b"ab", b"cd", b"e"]), (5, [b"abcde"]), (9, [b"abcde"]), (None, [b"abcde"])]
)
def test_slices_are_of_the_size_asked_for(size: int | None, expected: list[bytes]):
    assert list(slices(b"abcde", size)) == expected
    assert list(slices(b"", size)) == []


@given(st.binary(max_size=60), cuts, st.lists(st.integers(1, 20), max_size=9))
def test_read_gives_exactly_what_was_asked_for_until_the_end(data: bytes, places: list[int], sizes: list[int]):
    body, released = body_of(cut(data, places))
    at = 0
    for size in sizes:
        assert body.read(size) == data[at : at + size]
        at += size
    assert body.read() == data[at:]
    assert body.read() == b""
    assert body.ended
    assert released == ["released"]


@given(cuts)
def test_readline_gives_lines_with_their_ends_and_leaves_the_rest_for_read(places: list[int]):
    body, _ = body_of(cut(b"one\r\n\r\ntwo\nthree\r\nrest", places))
    assert [body.readline(), body.readline(), body.readline(b"\n")] == [b"one\r\n", b"\r\n", b"two\n"]
    assert [body.readline(), body.readline(), body.readline()] == [b"three\r\n", b"", b""]
    assert body.read() == b"rest"


def test_a_body_is_iterated_over_to_its_end():
    body, released = body_of([b"ab" * 3_000, b"c"])
    assert b"".join(body) == b"ab" * 3_000 + b"c"
    assert released == ["released"]


def test_more_than_allowed_at_once_is_refused():
    for ask in (Body.read, Body.readline):
        body, _ = body_of([b"x" * 600] * 3)
        with pytest.raises(ResponseTooLargeError, match="1000 bytes"):
            ask(body)


def test_a_body_that_is_given_up_gives_nothing_more():
    body, released = body_of([b"ab", b"cd"])
    assert body.read(1) == b"a"
    body.close()
    body.close()
    assert released == ["released"]
    assert Body.empty().read() == b""


@pytest.mark.parametrize("encoding", sorted(ENCODED))
@given(places=cuts)
def test_an_encoded_body_is_decoded_as_it_comes(encoding: str, places: list[int]):
    assert b"".join(decode_pieces(iter(cut(ENCODED[encoding], places)), encoding)) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_an_encoded_body_that_is_damaged_or_cut_off_says_so(encoding: str):
    for damaged in (b"this is no such encoding, as it says", ENCODED[encoding][:-5]):
        with pytest.raises(BodyDecodeError, match=f"not the {encoding} that Content-Encoding says"):
            list(decode_pieces(iter([damaged]), encoding))


@pytest.mark.parametrize("encoding", ["", "identity", "zstd", "zstd, identity"])
def test_an_encoding_that_cannot_be_undone_is_left_as_it_is(encoding: str):
    assert list(decode_pieces(iter([b"as sent"]), encoding)) == [b"as sent"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_an_empty_body_is_no_broken_encoding(encoding: str):
    assert list(decode_pieces(iter(()), encoding)) == []
