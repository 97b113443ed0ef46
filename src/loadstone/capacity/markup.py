"""HTML and SVG as text, in which only what `element` made is markup: every other text is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Markup", "element", "figure", "link", "pairs", "section", "table"]

_NUMBER: Final = "number"


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: str | float | None) -> Markup:
    """An element; children and attributes that are None are left out. ``class_`` is the attribute class, and so on."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(each if isinstance(each, Markup) else html.escape(each) for each in children if each is not None)
    return Markup(f"<{tag}{given}>{inner}</{tag}>")


def section(name: str, title: str, *children: str | None) -> Markup:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *children, id=name)


def link(text: str, address: str) -> Markup:
    """A link; the address has to be safe by itself."""
    return element("a", text, href=address)


def figure(name: str, title: str, unit: str, *children: str | None, wide: bool = False) -> Markup:
    """A chart in its frame."""
    caption = element("figcaption", element("h3", title), element("span", unit, class_="muted"))
    return element("figure", caption, *children, id=f"chart-{name}", class_="wide" if wide else None)


def table(title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Markup:
    """A table in a frame that scrolls; columns are titles and classes (``number``, ``long`` or nothing)."""
    head = element("tr", *(element("th", name, scope="col", class_=_number(kind)) for name, kind in columns))
    body = [
        element(
            "tr",
            *(
                element("td" if at else "th", cell, scope=None if at else "row", class_=kind or None)
                for at, (cell, (_, kind)) in enumerate(zip(row, columns, strict=True))
            ),
        )
        for row in rows
    ]
    grid = element("table", element("thead", head), element("tbody", *body))
    return element("div", grid, class_="scroll", tabindex="0", role="region", aria_label=f"{title}, table")


def pairs(rows: Iterable[tuple[str, str]]) -> Markup:
    """Titles and texts; those without a text are left out."""
    found = (element("div", element("dt", title), element("dd", text)) for title, text in rows if text)
    return element("dl", *found, class_="pairs")


def _number(kind: str) -> str | None:
    return _NUMBER if kind == _NUMBER else None


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
