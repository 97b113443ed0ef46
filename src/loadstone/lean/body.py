"""Bodies of responses that are read while the scenario asks for them: in pieces, in lines, or to their end."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, AnyStr, Self

from loadstone.lean.errors import ResponseTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK_BYTES = 4_096


class Body:
    """A body as it arrives in `parts`; `release` is called once, at its end or when it is given up or dropped.

    Everything that reads raises as `parts` does, and ResponseTooLargeError for more than `max_bytes` at once.
    """

    def __init__(self, parts: Iterator[bytes], release: Callable[[], None], max_bytes: int) -> None:
        self._parts = parts
        self._release = release
        self._max_bytes = max_bytes
        self._kept = b""
        self.ended = False
        """Whether the last byte has arrived, or the rest was given up."""

    @classmethod
    def empty(cls) -> Self:
        """Give a body that has been read."""
        body = cls(iter(()), lambda: None, 0)
        body.close()
        return body

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces(BLOCK_BYTES)

    def __del__(self) -> None:
        self.close()

    def pieces(self, size: int | None) -> Iterator[bytes]:
        """Yield what arrives, cut to at most `size` bytes."""
        while part := self._next():
            yield from slices(part, size)

    def read(self, size: int | None = None) -> bytes:
        """Give exactly `size` bytes, fewer only at the end; without `size` all that is left."""
        parts, total = [], 0
        while (size is None or total < size) and (part := self._next()):
            parts.append(part)
            total += len(part)
            self._require_size(total)
        data = b"".join(parts)
        if size is not None:
            data, self._kept = data[:size], data[size:]
        return data

    def readline(self, separator: bytes = b"\r\n") -> bytes:
        """Give the bytes up to and with `separator`; b"" once no further one comes, what is left then is for `read`."""
        line = b""
        while (end := line.find(separator)) < 0:
            part = self._next()
            if not part:
                self._kept = line
                return b""
            line += part
            self._require_size(len(line))
        end += len(separator)
        line, self._kept = line[:end], line[end:]
        return line

    def close(self) -> None:
        """Give the connection back if all was read, else close it; closing again does nothing."""
        if not self.ended:
            self.ended = True
            self._release()

    def _next(self) -> bytes:
        """Give what is kept or arrives next, b"" at the end."""
        if self._kept:
            part, self._kept = self._kept, b""
            return part
        try:
            part = b"" if self.ended else next(self._parts, b"")
        except BaseException:
            self.close()
            raise
        if not part:
            self.close()
        return part

    def _require_size(self, total: int) -> None:
        if total > self._max_bytes:
            raise ResponseTooLargeError(f"the body of the response exceeds {self._max_bytes} bytes")


def slices(content: bytes, size: int | None) -> Iterator[bytes]:
    """Give `content` in pieces of at most `size` bytes, or in one."""
    size = size or len(content)
    return (content[at : at + size] for at in range(0, len(content), size or 1))


def text_of(pieces: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Give the text of pieces whose characters may be cut anywhere."""
    decoder = getincrementaldecoder(encoding)("replace")
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def lines_of(pieces: Iterable[AnyStr], delimiter: AnyStr | None = None) -> Iterator[AnyStr]:
    """Yield the lines of a body that arrives in pieces, without their ends; a CRLF may be cut anywhere.

    Lines end as in `splitlines`, or at `delimiter`.
    """
    rest: AnyStr | None = None
    for piece in pieces:
        text = piece if rest is None else rest + piece
        if delimiter is not None:
            parts: Any = text.split(delimiter)
            rest = parts.pop()
            yield from parts
        else:
            parts = text.splitlines(keepends=True)
            rest = parts.pop() if parts and not _surely_ended(parts[-1]) else text[:0]
            yield from (part.splitlines()[0] for part in parts)
    if rest or (delimiter is not None and rest is not None):
        yield rest if delimiter is not None else rest.splitlines()[0]


def text_lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield what stands before each LF as UTF-8 text, without the CR of a CRLF; an end without LF counts as a line."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (_text_of(line) for line in lines)
    if rest:
        yield _text_of(rest)


def _text_of(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _surely_ended(line: Any) -> bool:
    """Tell whether `line` has its whole end: after a lone CR, the LF of a CRLF may still come."""
    content = line.splitlines()[0]
    return len(content) < len(line) and line[-1:] != ("\r" if isinstance(line, str) else b"\r")
