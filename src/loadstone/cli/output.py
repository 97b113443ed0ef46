"""What becomes of a verb whose output nobody takes any more, or that is told to stop: it ends in order, or goes on.

A reader may leave (``| head``), a terminal may be closed, a disk may be full. Verbs that are there for their output end
then; those that measure or serve go on without it, because their result is the archive and the exit code.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from loadstone.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CheckedStream", "checked_output"]

_STANDARD: Final = (0, 1, 2)


class _ClosedStream:
    """Stands where Python has no stream, because the process was started with that descriptor closed."""

    closed = False
    encoding = "utf-8"

    def write(self, _data: Any) -> int:
        raise OSError(errno.EBADF, "it is closed")

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False

    @property
    def buffer(self) -> _ClosedStream:
        return self


class CheckedStream:
    """Standard output or standard error. What cannot be written ends the verb, or is dropped.

    ``optional``: drop it and go on. Either way what is written later goes nowhere, so nothing fails a second time.
    """

    def __init__(self, stream: Any, *, optional: bool) -> None:
        self._stream = _ClosedStream() if stream is None else stream
        self.optional = optional
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: Any) -> int:
        """Write text or bytes. Raises `OutputError` once, unless the output is ``optional``."""
        try:
            return int(self._stream.write(data))
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(data)

    def writelines(self, lines: Any) -> None:
        """See `write`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered. Raises `OutputError` as `write` does."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self._lost and bool(self._stream.isatty())

    @property
    def buffer(self) -> CheckedStream:
        """The same output for bytes."""
        return CheckedStream(self._stream.buffer, optional=self.optional)

    def _give_up(self, error: OSError | ValueError) -> None:
        if self._lost:
            return
        self._lost = True
        if hasattr(self._stream, "fileno"):
            _lead_nowhere(self._stream.fileno())
        if not self.optional:
            raise OutputError(error) from error


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    if nowhere != descriptor:
        os.close(nowhere)


@contextmanager
def checked_output() -> Iterator[CheckedStream]:
    """Check what is written to standard output and standard error; the former, whose ``optional`` may be changed."""
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, and odd file names
    out = CheckedStream(sys.stdout, optional=False)
    sys.stdout, sys.stderr = out, CheckedStream(sys.stderr, optional=True)
    try:
        yield out
    finally:
        out.optional = True  # else Python itself would fail at what is left, when it ends
        out.flush()
        sys.stdout, sys.stderr = before


def _occupy_closed_descriptors() -> None:
    """Else a file opened later would take the number of a closed one, and receive what processes write there."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            _lead_nowhere(descriptor)
