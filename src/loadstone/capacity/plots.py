"""Plots of a study as SVG in the colours of the page: marks on two axes, and cells of a grid of settings.

What a mark means is said by its shape, its colour and its title, so it is readable without colours. The page has every
number in a table as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Final

from loadstone.capacity.markup import Markup, element

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ANSWER", "LIMIT", "STEPS", "Axis", "Cell", "Mark", "cells", "legend", "scatter"]

_WIDTH, _HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 22, 12, 44
_TICKS: Final = 5
_MOST_TICKS: Final = 7
_LOG_TICKS: Final = ((1, 2, 5), (1, 3), (1,))
_ROOM: Final = 1.08
_ROOM_IN_LOG: Final = 1.25
_WIDE_RANGE: Final = 8.0
_CELL_LABELS: Final = 9
_ROW_HEIGHT: Final = (16.0, 34.0)
ANSWER, LIMIT, STEPS = "answer", "limit-line", "steps"
"""Classes of what is no mark: the ring around the answer, the line of a limit, and the line in steps."""
NAMES: Final[Mapping[str, str]] = {
    "holds": "held",
    "fails": "did not hold",
    "breaks": "ran out of memory or ended",
    "undecided": "too near the limit to tell",
    "invalid": "invalid: says nothing",
    "implied-holds": "follows: at least as large as one that held",
    "implied-fails": "follows: no larger than one that did not",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis for these values: from zero, or logarithmic where the highest is many times the lowest."""

    title: str
    values: Sequence[float]
    whole: bool = False
    may_be_log: bool = True

    @property
    def is_log(self) -> bool:
        """Whether equal distances are equal ratios."""
        lowest = min(self.values, default=0.0)
        return self.may_be_log and lowest > 0 and max(self.values) > _WIDE_RANGE * lowest

    def ends(self) -> tuple[float, float]:
        """The values at both ends."""
        highest = max(self.values, default=0.0) or 1.0
        return (min(self.values) / _ROOM_IN_LOG, highest * _ROOM_IN_LOG) if self.is_log else (0.0, highest * _ROOM)

    def part(self, value: float) -> float:
        """Where a value lies: 0 at the lower end, 1 at the upper."""
        low, high = self.ends()
        return log10(value / low) / log10(high / low) if self.is_log else value / high

    def ticks(self) -> list[float]:
        """Round values, a few."""
        low, high = self.ends()
        if self.is_log:
            powers = range(floor(log10(low)), floor(log10(high)) + 1)
            kinds = ([factor * 10.0**power for power in powers for factor in factors] for factors in _LOG_TICKS)
            fitting = [[value for value in values if low <= value <= high] for values in kinds]
            return next((values for values in fitting if len(values) <= _MOST_TICKS), fitting[-1])
        power = 10 ** floor(log10(high / _TICKS))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= high / _TICKS)
        step = max(step, 1.0) if self.whole else step
        return [number * step for number in range(int(high / step) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One mark: where it is, what it stands for (a key of the legend), and its text."""

    x: float
    y: float
    state: str
    title: str
    is_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a grid, by column and row from the lower left."""

    column: int
    row: int
    state: str
    title: str
    is_answer: bool = False


def scatter(
    label: str,
    x: Axis,
    y: Axis,
    marks: Sequence[Mark],
    *,
    limit: float | None = None,
    steps: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Marks on two axes, a dashed horizontal line at the limit, and a line in steps."""
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(value: float) -> float:
        return _LEFT + x.part(value) * inner_width

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - y.part(value) * inner_height

    parts = [_line(down(tick), "grid-line") for tick in y.ticks()]
    parts += [_tick_text(_LEFT - 8, down(tick) + 4, tick, "end") for tick in y.ticks()]
    parts += [_tick_text(across(tick), _HEIGHT - _BOTTOM + 18, tick, "middle") for tick in x.ticks()]
    parts.append(_words((_WIDTH + _LEFT) / 2, _HEIGHT - 6, x.title, "middle"))
    if limit is not None:
        parts.append(_line(down(limit), LIMIT))
    if steps:
        corners = " ".join(f"{value:.1f},{height:.1f}" for value, height in ((across(a), down(b)) for a, b in steps))
        parts.append(element("polyline", points=corners, class_=STEPS))
    parts += [_mark(across(mark.x), down(mark.y), mark.state, mark.title, is_answer=mark.is_answer) for mark in marks]
    return _svg(label, _HEIGHT, parts)


def cells(label: str, columns: Sequence[str], rows: Sequence[str], x_title: str, found: Sequence[Cell]) -> Markup:
    """A grid, a cell for each pair of a column and a row; both are given by their texts, the lowest first."""
    width = (_WIDTH - _LEFT - _RIGHT) / len(columns)
    low, high = _ROW_HEIGHT
    height = min(max((_HEIGHT - _TOP - _BOTTOM) / len(rows), low), high)
    bottom, gap = _TOP + height * len(rows), min(1.0, width / 12)
    parts = []
    for cell in found:
        x, y = _LEFT + cell.column * width, bottom - (cell.row + 1) * height
        kind = f"cell {cell.state}".strip()
        parts.append(
            element("rect", x=x + gap, y=y + gap, width=width - 2 * gap, height=height - 2 * gap, rx=gap, class_=kind)
        )
        if cell.title:
            size = min(width, height) / 28
            parts.append(
                _mark(x + width / 2, y + height / 2, cell.state, cell.title, is_answer=cell.is_answer, size=size)
            )
    parts += [_words(_LEFT + (at + 0.5) * width, bottom + 18, columns[at], "middle") for at in _labelled(len(columns))]
    parts += [_words(_LEFT - 8, bottom - (at + 0.5) * height + 4, rows[at], "end") for at in _labelled(len(rows))]
    parts.append(_words((_WIDTH + _LEFT) / 2, bottom + 38, x_title, "middle"))
    return _svg(label, bottom + _BOTTOM, parts)


def legend(states: Sequence[str], *, more: Sequence[tuple[str, str]] = ()) -> Markup:
    """What the marks mean, and ``more``: the answer's ring and lines, by class and meaning."""
    items = [element("li", _symbol(state), element("span", NAMES[state])) for state in NAMES if state in states]
    items += [element("li", _sign(kind), element("span", text)) for kind, text in more]
    return element("ul", *items, class_="legend")


def _symbol(state: str) -> Markup:
    if state.startswith("implied"):
        return element("span", class_=f"swatch cell {state}")
    return element(
        "svg", _mark(8, 8, state, "", size=0.7), viewBox="0 0 16 16", width=16, height=16, aria_hidden="true"
    )


def _sign(kind: str) -> Markup:
    """The ring around the answer, or a line."""
    ring = element("g", element("circle", cx=8, cy=8, r=6, class_=kind), class_="mark")
    line = element("line", x1=0, y1=8, x2=24, y2=8, class_=kind)
    width, drawn = (16, ring) if kind == ANSWER else (24, line)
    return element("svg", drawn, viewBox=f"0 0 {width} 16", width=width, height=16, aria_hidden="true")


def _mark(x: float, y: float, state: str, title: str, *, is_answer: bool = False, size: float = 0.75) -> Markup:
    """A disc for what held, a cross for what did not, a square for what broke, a ring for what says nothing."""
    r = 7 * min(max(size, 0.35), 1.0)
    shapes = {
        "holds": element("circle", cx=x, cy=y, r=r),
        "fails": element(
            "path", d=f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}"
        ),
        "breaks": element("rect", x=x - r, y=y - r, width=2 * r, height=2 * r),
        "undecided": element("path", d=f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"),
        "invalid": element("circle", cx=x, cy=y, r=r),
    }
    ring = element("circle", cx=x, cy=y, r=r + 4, class_=ANSWER) if is_answer else None
    told = element("title", title) if title else None
    return element("g", told, ring, shapes.get(state), class_=f"mark {state}")


def _svg(label: str, height: float, parts: Sequence[str]) -> Markup:
    drawing = element(
        "svg", *parts, viewBox=f"0 0 {_WIDTH} {height:.0f}", role="img", aria_label=label, class_="plot-svg"
    )
    return element("div", drawing, class_="plot", tabindex="0", role="group", aria_label=f"{label}, chart")


def _line(y: float, name: str) -> Markup:
    return element("line", x1=_LEFT, y1=y, x2=_WIDTH - _RIGHT, y2=y, class_=name)


def _tick_text(x: float, y: float, value: float, anchor: str) -> Markup:
    return _words(x, y, f"{value:,.10g}", anchor)


def _words(x: float, y: float, text: str, anchor: str) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor)


def _labelled(count: int) -> range:
    return range(0, count, -(-count // _CELL_LABELS))
