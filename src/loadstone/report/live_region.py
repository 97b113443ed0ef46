"""LiveRegion: the part of a terminal that shows a run in progress and is drawn again and again.

It fits the terminal: no line is wider, and there are no more of them than it has rows. Block characters become ASCII
where the output's encoding has none. Colours are for results only, and every result is a word as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from loadstone.report.live_facts import (
    RECENT,
    Fact,
    clock,
    duration,
    facts,
    failed_share,
    load_s,
    objective_result,
    objective_value,
    phase_of,
    phase_text,
    phases,
    usages,
)
from loadstone.report.tables import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.console import Console, RenderableType

    from loadstone.domain.live import LiveObjective, LiveSecond, LiveSnapshot, Trouble

__all__ = ["LiveRegion", "NewestMinute", "lines_of", "progress_bar", "sparkline"]

_MINUTE_S: Final = 60
_GAP: Final = 3
"""Columns between two figures of a line."""
_COLUMN_GAP: Final = 2
"""Columns between two columns of a table."""
_UNMEASURED: Final = "could not be measured: "
"""What comes before the cause in the reason of an objective; its row says that much without it."""
_HIGHEST: Final = "highest"
_STALE_S: Final = 5.0
"""Snapshots come twice a second; one that has been the newest for so long says nothing about now."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII: Final = "_.:-=+*#"
_BAR: Final[Mapping[bool, tuple[str, str]]] = {False: ("█", "░"), True: ("#", ".")}
_STYLES: Final[Mapping[bool | None, str]] = {True: "green", False: "red", None: "yellow"}


def sparkline(values: Sequence[float | None], *, ascii_only: bool = False) -> str:
    """A character for each value, the lowest for 0, the highest for the greatest; a space where none is known."""
    levels = _ASCII if ascii_only else _BLOCKS
    highest = max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join(" " if value is None else levels[round(value / highest * (len(levels) - 1))] for value in values)


def progress_bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of so many characters, of which a ``share`` (0 to 1) is done."""
    done, left = _BAR[ascii_only]
    filled = int(min(1.0, max(0.0, share)) * width)
    return done * filled + left * (width - filled)


def lines_of(all_facts: Iterable[Fact], width: int, gap: int = _GAP) -> list[list[Fact]]:
    """The facts in as few lines as their texts leave room for."""
    lines: list[list[Fact]] = []
    left = 0
    for fact in all_facts:
        needed = cell_len(str(fact))
        if not lines or needed + gap > left:
            lines.append([fact])
            left = width - needed
        else:
            lines[-1].append(fact)
            left -= needed + gap
    return lines


class NewestMinute:
    """The newest minute of a run, second by second, put together from its snapshots, which overlap."""

    def __init__(self) -> None:
        self._run: str | None = None
        self._seconds: dict[int, LiveSecond] = {}

    def take(self, live: LiveSnapshot) -> None:
        """Take in what is new; requests that came late replace what was known of their second."""
        known = self._seconds if live.run == self._run else {}
        seconds = known | {second.at: second for second in live.seconds}
        oldest = max(seconds, default=0) - _MINUTE_S
        self._run = live.run
        self._seconds = {at: second for at, second in seconds.items() if at > oldest}  # a thread draws: never changed

    def last(self, count: int) -> list[LiveSecond | None]:
        """The newest ``count`` seconds, the oldest first; None where nothing is known of one."""
        seconds = self._seconds
        newest = max(seconds, default=0)
        return [seconds.get(at) for at in range(newest - min(count, _MINUTE_S) + 1, newest + 1)]


class _Row(NamedTuple):
    """A figure of the last ten seconds; with a ``form`` for numbers also its values in each of the last ``seconds``."""

    name: str
    now: str
    seconds: Sequence[float | None] = ()
    form: str = ""

    @property
    def highest(self) -> str:
        """The highest of the seconds; never shorter than the title of the column."""
        known = [value for value in self.seconds if value is not None]
        return (self.form.format(max(known)) if known else "-").rjust(len(_HIGHEST))

    def newest(self, count: int) -> _Row:
        """The same with the newest ``count`` seconds."""
        return self._replace(seconds=self.seconds[-count:])


class LiveRegion:
    """What is shown, as `rich` draws it. ``clock_s``: a monotonic clock."""

    def __init__(self, console: Console, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock_s = clock_s
        self._begun_s = clock_s()
        self._minute = NewestMinute()
        self._newest: tuple[LiveSnapshot, float | None] | None = None
        self._came_s = self._phase_s = 0.0
        self._troubles: tuple[Trouble, ...] = ()

    def show(self, live: LiveSnapshot, ends_in_s: float | None) -> None:
        """Take in the newest snapshot, and in how many seconds the run is to end if that is known."""
        now_s, known = self._clock_s(), self._newest[0] if self._newest else None
        if known is None or known.now_ns != live.now_ns:
            self._came_s = now_s
        if known is None or phase_of(known) != phase_of(live):
            self._phase_s = now_s
        self._minute.take(live)
        self._newest = live, ends_in_s

    def warn(self, troubles: Sequence[Trouble]) -> None:
        """Take in what is in trouble now."""
        self._troubles = tuple(troubles)

    def drawn(self) -> RenderableType:
        """All of it as it is now, below an empty line that sets it off from the notes."""
        warnings = [Text(f"! {each.part}: {each.text}", "bold red") for each in self._troubles]
        if self._newest is None:
            waiting = Text(f"waiting for the run to begin  {clock(self._since(self._begun_s))}")
            return Group(Text(), *warnings, self._line(waiting))
        live, ends_in_s = self._newest
        if (silent_s := self._since(self._came_s)) >= _STALE_S and phase_of(live) != "archive":
            warnings.append(Text(f"! figures are {clock(silent_s)} old: no newer ones come", "bold yellow"))
        charts = self._charts(live)
        parts: list[RenderableType] = [Text(), *warnings, *map(self._line, self._head(live, ends_in_s)), Text()]
        parts += [*map(self._line, self._figures(live)), Text(), charts]
        above = len(parts) - len(warnings) + self._rows(warnings) + charts.row_count - 1
        parts += self._below(live, self._console.height - above)
        return Group(*parts)

    def _below(self, live: LiveSnapshot, rows: int) -> Iterator[RenderableType]:
        """Objectives and usage, each below an empty line, in so many rows; where these are few, usage gets two."""
        usage = lines_of(usages(live), self._width)
        needed = len(live.objectives) + 2 if live.objectives else 0
        for_usage = max(2, rows - needed) if usage else 0
        if live.objectives:
            yield from (Text(), self._objectives(live.objectives, rows - min(for_usage, len(usage) + 1) - 2))
        if usage:
            yield from (Text(), *map(self._line, self._usage(usage, for_usage - 1)))

    @property
    def _width(self) -> int:
        return self._console.width

    @property
    def _ascii(self) -> bool:
        return self._console.options.ascii_only

    def _since(self, moment_s: float) -> float:
        return self._clock_s() - moment_s

    def _rows(self, texts: Iterable[Text]) -> int:
        return sum(len(text.wrap(self._console, max(1, self._width))) for text in texts)

    @staticmethod
    def _line(text: Text) -> Text:
        """The text as one line, however narrow the terminal is."""
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _head(self, live: LiveSnapshot, ends_in_s: float | None) -> Iterable[Text]:
        """Run, bar and phases."""
        elapsed_s, phase = load_s(live), phase_of(live)
        yield Text.assemble(("run ", "dim"), (live.run, "bold"), (f" on {live.host}" if live.host else "", "dim"))
        if ends_in_s is None:
            yield Text(f"{clock(elapsed_s)} since the start")
        else:
            planned_s = live.elapsed_s + ends_in_s
            times = f"  {clock(elapsed_s)} of {clock(planned_s)}"
            share = elapsed_s / planned_s if planned_s > 0 else 1.0
            yield Text(progress_bar(share, max(0, self._width - len(times)), ascii_only=self._ascii) + times)
        steps = [(f"[{each}]", "bold") if each == phase else (each, "dim") for each in phases(live)]
        parts = [part for step in steps for part in (step, (" > ", "dim"))][:-1]
        yield Text.assemble(*parts, f"   {phase_text(live, ends_in_s, self._since(self._phase_s))}")

    def _figures(self, live: LiveSnapshot) -> list[Text]:
        return [_fact_line(line) for line in lines_of(facts(live), self._width)]

    def _charts(self, live: LiveSnapshot) -> Table:
        """The figures of the last ten seconds; rate and p95 also in each of the last seconds, and their highest."""
        minute = self._minute.last(_MINUTE_S)
        p50, p95, p99 = (duration(live, ms) for ms in (live.p50_ms, live.p95_ms, live.p99_ms))
        rows = [
            _Row("requests/s", f"{live.rps:,.1f}", [each.requests if each else None for each in minute], "{:,.0f}"),
            _Row("failed", failed_share(live)),
            _Row("p50", p50),
            _Row("p95", p95, [each.p95_ms if each else None for each in minute], "{:,.1f} ms"),
            _Row("p99", p99),
        ]
        if live.service_p95_ms is not None:
            rows.append(_Row("service p95", duration(live, live.service_p95_ms)))
        columns = ([row.name for row in rows], [RECENT, *(row.now for row in rows)], [row.highest for row in rows])
        beside = sum(max(map(len, column)) + _COLUMN_GAP for column in columns)
        count = max(1, min(_MINUTE_S, self._width - beside))
        title = f"each of the last {count} s"
        table = _grid(3)
        table.add_column(justify="right", no_wrap=True)
        head = ("", RECENT, title if count >= len(title) else "", _HIGHEST)
        table.add_row(*(Text(text, "dim") for text in head))
        for row in rows:
            shown = row.newest(count)
            line, highest = sparkline(shown.seconds, ascii_only=self._ascii), shown.highest if row.form else ""
            table.add_row(Text(row.name, "dim"), Text(row.now, "bold"), Text(line), Text(highest))
        return table

    def _objectives(self, objectives: Sequence[LiveObjective], rows: int) -> Table:
        """Each objective with its value over the newest minute; if they are too many, those that would miss first."""
        shown = list(objectives)
        if len(shown) > rows:
            shown = sorted(shown, key=lambda each: each.ok is not False)[: max(1, rows - 1)]
        values = [objective_value(each) for each in shown]
        left = self._width - max(map(len, (*values, "last minute"))) - len("would hold") - 3 * _COLUMN_GAP
        texts = [shortened(each.text, max(8, left)) for each in shown]
        left -= max(map(cell_len, (*texts, "objective")))
        table = _grid(4)
        table.add_row(*(Text(name, "dim") for name in ("objective", "last minute", "now", "")))
        for each, text, value in zip(shown, texts, values, strict=True):
            note = Text(shortened(_note(each), left), "dim")
            table.add_row(Text(text), Text(value), Text(objective_result(each), _STYLES[each.ok]), note)
        if len(shown) < len(objectives):
            table.add_row(Text(f"and {len(objectives) - len(shown)} more", "dim"))
        return table

    @staticmethod
    def _usage(lines: Sequence[Sequence[Fact]], rows: int) -> list[Text]:
        """CPU and memory, in so many rows at most."""
        kept = len(lines) if len(lines) <= rows else max(0, rows - 1)
        hidden = sum(map(len, lines[kept:]))
        return [*map(_fact_line, lines[:kept]), *([Text(f"CPU and memory of {hidden} more", "dim")] if hidden else [])]


def _note(objective: LiveObjective) -> str:
    """Why an objective is undecided, or that its value is not of the last minute as the others are."""
    if objective.ok is None:
        return objective.reason.partition(_UNMEASURED)[2] or objective.reason
    return "since the window opened" if objective.since_opened else ""


def _fact_line(line: Sequence[Fact]) -> Text:
    parts = [(Text(fact.name, "dim"), Text(f" {fact.value}", "bold")) for fact in line]
    return Text(" " * _GAP).join(Text.assemble(name, value) for name, value in parts)


def _grid(columns: int) -> Table:
    """A table without lines whose second column holds numbers."""
    table = Table.grid(padding=(0, _COLUMN_GAP, 0, 0), pad_edge=False)
    for at in range(columns):
        table.add_column(justify="right" if at == 1 else "left", no_wrap=True)
    return table
