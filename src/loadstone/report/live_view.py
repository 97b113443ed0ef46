"""A run in progress in the terminal: a region that redraws itself, or plain lines if the output is not a terminal."""

from __future__ import annotations

import re
import shutil
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

from rich.live import Live
from rich.text import Text

from loadstone.domain.text import printable
from loadstone.domain.time import NS_PER_S
from loadstone.report.console import SafeConsole
from loadstone.report.live_facts import (
    RECENT,
    Fact,
    clock,
    facts,
    load_s,
    objective_result,
    objective_value,
    phase_of,
    recent_text,
    usages,
)
from loadstone.report.live_region import LiveRegion, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from loadstone.domain.live import LiveSnapshot, Trouble

__all__ = ["PlainView", "QuietView", "RichView", "View", "open_view"]

_PLAIN_EVERY_S: Final = 5
_PLAIN_GAP: Final = 2
"""Columns between two figures of a plain line."""
_TELL_AGAIN_S: Final = 60.0
_COUNTED: Final = re.compile(r"\b[\d,]+(?= (?:of|requests|other points|entries)\b)")
"""What grows every second in the text of a trouble that lasts."""


class View(Protocol):
    """Something that shows live snapshots and notes during a run."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """Show the newest snapshot."""

    def note(self, text: str) -> None:
        """Show something that happened."""

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """Show what is in trouble now, which may be nothing: at once what is new, and what is over."""


class _Troubles:
    """Which troubles were told, so that each is told once in a while, and that it is over once."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], tuple[str, float]] = {}

    def news(self, troubles: Sequence[Trouble], now_s: float) -> Iterator[str]:
        """What has to be told about the troubles of now, at ``now_s`` of a monotonic clock."""
        for trouble in troubles:
            key = (trouble.part, trouble.since_ns)
            text, told_s = self._told.get(key, ("", 0.0))
            now = _COUNTED.sub("", trouble.text)
            if text != now or now_s - told_s >= _TELL_AGAIN_S:
                self._told[key] = (now, now_s)
                yield f"! {trouble.part}: {trouble.text}"
        present = {(trouble.part, trouble.since_ns) for trouble in troubles}
        for key in [key for key in self._told if key not in present]:
            del self._told[key]
            if key[0] not in {part for part, _ in present}:
                yield f"{key[0]}: in order again"


def open_view(*, plain: bool, otherwise: Callable[[], View] | None = None) -> View:
    """The view for this terminal; where it can redraw nothing, plain lines or what ``otherwise`` makes."""
    console = SafeConsole(keeps_width=True)
    if plain or not sys.stdout.isatty() or console.is_dumb_terminal or not console.is_interactive:
        return (otherwise or PlainView)()
    return RichView(console)


class PlainView:
    """The figures every five seconds: on one line, or on a terminal on as many as it takes not to be wrapped."""

    def __init__(self) -> None:
        self._shown_at_ns = 0
        self._troubles = _Troubles()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """See `View`."""
        if live.now_ns - self._shown_at_ns < _PLAIN_EVERY_S * NS_PER_S:
            return
        self._shown_at_ns = live.now_ns
        width = shutil.get_terminal_size().columns - _PLAIN_GAP if sys.stdout.isatty() else sys.maxsize
        lines = lines_of(_plain_facts(live, ends_in_s), width, _PLAIN_GAP)
        for number, line in enumerate(lines):
            self.note(" " * _PLAIN_GAP * bool(number) + (" " * _PLAIN_GAP).join(map(str, line)))

    def note(self, text: str) -> None:
        """See `View`."""
        print(printable(text), flush=True)  # noqa: T201  (progress for people)

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """See `View`."""
        for line in self._troubles.news(troubles, time.monotonic()):
            self.note(line)


class QuietView(PlainView):
    """Notes and troubles only."""

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """Nothing."""


class RichView:
    """The live region; notes stand above it, and stay when it goes."""

    def __init__(self, console: SafeConsole | None = None) -> None:
        self._console = console or SafeConsole(keeps_width=True)
        self._region = LiveRegion(self._console)
        self._has_ended = False
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        # `Live.stop` draws everything once more, and a terminal can erase only as much of it as it has rows.
        self._has_ended = True
        self._live.stop()

    def _drawn(self) -> RenderableType:
        return Text() if self._has_ended else self._region.drawn()

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """See `View`."""
        self._region.show(live, ends_in_s)

    def note(self, text: str) -> None:
        """See `View`."""
        self._console.print(Text(self._console.spelled_out(text)), soft_wrap=True)

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """See `View`."""
        self._region.warn(troubles)


def _plain_facts(live: LiveSnapshot, ends_in_s: float | None) -> Iterator[Fact]:
    """What a plain line holds: also which objectives would not hold now, but not those that would."""
    yield Fact("time", clock(load_s(live)))
    yield Fact("phase", phase_of(live))
    if ends_in_s is not None:
        yield Fact("left", clock(ends_in_s))
    yield from facts(live)
    yield Fact(f"{RECENT}:", recent_text(live))
    for objective in live.objectives:
        if objective.ok is False:
            yield Fact(f"{objective_result(objective)} {objective.text}:", objective_value(objective))
    yield from usages(live)
