"""A program in a terminal of some size: what it shows there from moment to moment, and what is left in the end.

The terminal knows what `rich` writes: text, colours, line feeds, and how to erase a line or go up one.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PIECES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UNFINISHED = re.compile(r"\x1b(\[[0-9;?]*)?$")
_QUIET_S = 0.05
"""A region is written at once; when nothing has come for so long, it is complete."""


def without_colours(line: str) -> str:
    """The characters of a line alone."""
    return _CODES.sub("", line)


class Screen:
    """Lines of any length, each with its colours, and a cursor that is always at the end of one."""

    def __init__(self) -> None:
        self.lines = [""]
        self.has_cursor = True
        self._at = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take in what was written."""
        text = self._rest + text
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        for piece in _PIECES.findall(text.removesuffix(self._rest) if self._rest else text):
            self._take(piece)

    def _take(self, piece: str) -> None:
        match piece:
            case "\n":
                self._at += 1
                self.lines += [""] * (self._at + 1 - len(self.lines))
            case "\x1b[1A":
                self._at -= 1
            case "\x1b[2K":
                self.lines[self._at] = ""
            case "\x1b[?25l" | "\x1b[?25h":
                self.has_cursor = piece.endswith("h")
            case "\r":
                pass
            case _ if not piece.startswith("\x1b") or piece.endswith("m"):
                self.lines[self._at] += piece
            case _:
                raise ValueError(f"the terminal does not know {piece!r}")


class InTerminal:
    """A program that is started in a terminal; ``screen`` is what it shows now."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], *, columns: int, rows: int) -> None:
        self.screen = Screen()
        self.code: int | None = None
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)

    def frames(self, timeout_s: float) -> Iterator[list[str]]:
        """What the screen shows whenever it has changed, until the program has ended."""
        decoder, deadline_s = codecs.getincrementaldecoder("utf-8")(), time.monotonic() + timeout_s
        changed, is_open = False, True
        try:
            while is_open:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"it still runs after {timeout_s:g} s; it shows {self.screen.lines}")
                if select.select([self._ours], [], [], _QUIET_S)[0]:
                    is_open = self._read(decoder)
                    changed = True
                elif changed:
                    changed = False
                    yield list(self.screen.lines)
            self.code = self._process.wait(timeout=30)
        finally:
            if self._process.poll() is None:
                self._process.terminate()
                self._process.wait(timeout=60)
            os.close(self._ours)

    def _read(self, decoder: codecs.IncrementalDecoder) -> bool:
        """Whether there was anything; a terminal that nobody has open any more is an error of its reader (pty(7))."""
        try:
            self.screen.feed(decoder.decode(os.read(self._ours, 65536)))
        except OSError:
            return False
        return True
