"""A run in progress in the terminal: a panel that redraws itself, or plain lines if the output is not a terminal."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loadstone.domain.arrival_doubts import LATENESS_FLOOR_MS
from loadstone.domain.text import printable
from loadstone.domain.time import NS_PER_S
from loadstone.domain.units import MIB
from loadstone.report.console import SafeConsole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from loadstone.domain.live import LiveSnapshot, LiveUsage, Phase, Trouble

__all__ = ["PlainView", "QuietView", "RichView", "View", "open_view"]

_PLAIN_EVERY_S: Final = 5
_MOST_NOTES: Final = 5
_GAP: Final = 3
"""Columns between two figures of the panel."""
_BORDERS: Final = 4
"""Columns that the border of the panel takes, with the space inside of it."""
_TELL_AGAIN_S: Final = 60.0
_COUNTED: Final = re.compile(r"\b[\d,]+(?= (?:of|requests|other points|entries)\b)")
"""What grows every second in the text of a trouble that lasts."""
_PHASES: Final[Mapping[Phase, str]] = {"running": "all users running", "closing": "closing: writing the archive"}
"""Phases that the terminal shows in other words."""


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
    console = SafeConsole()
    if plain or not sys.stdout.isatty() or console.is_dumb_terminal:
        return (otherwise or PlainView)()
    return RichView(console)


class PlainView:
    """One line every five seconds."""

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
        self.note("  ".join(f"{name} {value}" for name, value in _facts(live, ends_in_s)))

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
    """A panel of the newest figures, and below it the newest notes."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or SafeConsole(), refresh_per_second=4, transient=True)
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._newest: tuple[LiveSnapshot, float | None] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._live.stop()

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """See `View`."""
        self._newest = live, ends_in_s
        self._draw()

    def note(self, text: str) -> None:
        """See `View`."""
        self._notes = [*self._notes, text][-_MOST_NOTES:]
        self._draw()

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """See `View`."""
        warnings = [f"{trouble.part}: {trouble.text}" for trouble in troubles]
        if warnings != self._warnings:
            self._warnings = warnings
            self._draw()

    def _draw(self) -> None:
        notes = Group(
            *(Text(f"! {warning}", style="bold red") for warning in self._warnings),
            Text("\n".join(self._notes), style="dim"),
        )
        if self._newest is None:
            self._live.update(notes)
            return
        live, ends_in_s = self._newest
        lines = _lines_of(_facts(live, ends_in_s), self._live.console.width - _BORDERS)
        shown = Group(*(_grid(line) for line in lines))
        panel = Panel(shown, title=Text(f"run {live.run}"), subtitle=_PHASES.get(live.phase, live.phase), expand=False)
        self._live.update(Group(panel, notes))


def _lines_of(facts: Sequence[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """The facts in as few lines as their texts leave room for."""
    lines: list[list[tuple[str, str]]] = []
    left = 0
    for fact in facts:
        needed = max(map(len, fact))
        if not lines or needed + _GAP > left:
            lines.append([fact])
            left = width - needed
        else:
            lines[-1].append(fact)
            left -= needed + _GAP
    return lines


def _grid(facts: Sequence[tuple[str, str]]) -> Table:
    """The facts beside each other, their names above them."""
    grid = Table.grid(padding=(0, _GAP))
    for _ in facts:
        grid.add_column(justify="right")
    grid.add_row(*(Text(name, style="dim") for name, _ in facts))
    grid.add_row(*(Text(value, style="bold") for _, value in facts))
    return grid


def _facts(live: LiveSnapshot, ends_in_s: float | None) -> list[tuple[str, str]]:
    facts = [
        ("time", _clock(live.elapsed_s)),
        ("users", f"{live.users}/{live.target_users}"),
        *_arrivals(live),
        ("requests/s", f"{live.rps:,.1f}"),
        ("requests", f"{live.requests:,}"),
        ("failures", f"{live.failures:,} ({live.failure_share:.1%} now)"),
        ("p50", f"{live.p50_ms:.1f} ms"),
        ("p95", f"{live.p95_ms:.1f} ms"),
        *((usage.service, _usage(usage)) for usage in live.usage),
    ]
    return [*facts, ("left", _clock(ends_in_s))] if ends_in_s is not None else facts


def _arrivals(live: LiveSnapshot) -> Iterator[tuple[str, str]]:
    """At which rate iterations begin and should, under the open model; and which did not, or did late, if any."""
    if live.planned_rps is None or live.sent_rps is None:
        return
    yield "arrivals/s", f"{live.sent_rps:,.1f}/{live.planned_rps:,.1f}"
    if live.arrivals and live.arrivals.not_sent:
        yield "not sent", f"{live.arrivals.not_sent:,}"
    if (late_ms := live.lateness_p99_ms) is not None and late_ms > LATENESS_FLOOR_MS:
        yield "late p99", f"{late_ms:,.1f} ms"


def _usage(usage: LiveUsage) -> str:
    cores = f"{usage.cpu_cores:.2f}" + (f"/{usage.cpu_limit:g}" if usage.cpu_limit else "")
    memory = f"{usage.mem_bytes / MIB:.0f}" + (f"/{usage.mem_limit / MIB:.0f}" if usage.mem_limit else "")
    return f"{cores} CPU, {memory} MiB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
