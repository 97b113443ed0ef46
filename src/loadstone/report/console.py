"""The terminal, which shows texts of scenarios, targets and other machines but never obeys them."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.segment import Segment

from loadstone.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType

__all__ = ["SafeConsole", "make_console", "tell_terminal"]

_LOG_WIDTH: Final = 120
"""Columns where the width is unknown, as in a pipe or the log of a CI job, unless COLUMNS gives it."""


class SafeConsole(Console):
    """A console whose texts hold no control characters, whoever wrote them; colours and cursor are its own.

    What its encoding lacks is spelled out when it is written, unless it ``keeps_width``: then a question mark stands
    for it, so that nothing is wider than it was laid out. A tilde then stands where something was cut off.
    """

    def __init__(self, *, keeps_width: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._keeps_width = keeps_width

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else self._encodable(printable(text)), style, control)

    def spelled_out(self, text: str) -> str:
        """A text in which what the encoding lacks is spelled out."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def _encodable(self, text: str) -> str:
        if self.encoding.startswith("utf") or text.isascii():
            return text
        text = text.replace("…", "~")
        return text.encode(self.encoding, "replace").decode(self.encoding) if self._keeps_width else text


def make_console() -> Console:
    """The console of standard output: as wide as the terminal or as COLUMNS says, and otherwise as wide as a log."""
    console = SafeConsole()
    return console if console.is_terminal else SafeConsole(width=shutil.get_terminal_size((_LOG_WIDTH, 0)).columns)


def tell_terminal(text: str) -> None:
    """Print progress on standard error, so that standard output can be piped."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201  (progress for people)
