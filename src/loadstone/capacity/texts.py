"""Figures of trials as texts in the tables of a study's page; what is not known is a dash."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final

from loadstone.capacity.markup import Markup, element
from loadstone.domain.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NOTHING", "count_text", "mib_text", "number", "percent", "without_empty", "word"]

NOTHING: Final = "\N{EN DASH}"
_THOUSAND: Final = 1000
_KINDS: Final[Mapping[str, str]] = {"holds": "good", "does not hold": "bad", "invalid": "warn", "undecided": "warn"}


def count_text(value: int | None) -> str:
    """A whole number."""
    return NOTHING if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """Three digits that matter, or all before the point."""
    return NOTHING if value is None else f"{value:,.0f}" if value >= _THOUSAND else f"{value:,.3g}"


def percent(value: float | None) -> str:
    """A percentage."""
    return NOTHING if value is None else f"{value:.3g} %"


def mib_text(size_bytes: float | None) -> str:
    """Bytes as MiB."""
    return NOTHING if size_bytes is None else f"{size_bytes / MIB:,.0f} MiB"


def without_empty(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[tuple[str, str]], Sequence[Sequence[str]]]:
    """The columns, and the rows, of a table without the columns in which nothing is known."""
    known = [any(row[at] != NOTHING for row in rows) for at in range(len(columns))]
    return [*compress(columns, known)], [[*compress(row, known)] for row in rows]


def word(outcome: str) -> Markup:
    """An outcome in its colour."""
    return element("span", outcome, class_=f"word {_KINDS[outcome]}")
