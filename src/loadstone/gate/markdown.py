"""Markdown: verdict, objectives and figures, for a pull request's comment or a CI job's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.gate.text import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.gate.judged import Judged

__all__ = ["markdown_text"]

_WORDS: Final = {True: "held", False: "**missed**", None: "not decided"}
_MOST_ROWS: Final = 200


def markdown_text(judged: Judged) -> str:
    """The text. Names and error texts show as they are and cannot become links, images, HTML or table cells."""
    parts = [f"## {markdown(judged.title)}: {judged.verdict}\n"]
    if judged.checks:
        rows = [[check.name, _WORDS[check.ok], check.reason] for check in judged.checks]
        parts.append(_table(("objective", "result", "why"), rows, plain=1))
    parts.append(_table(judged.header, judged.rows[-_MOST_ROWS:]))
    if len(judged.rows) > _MOST_ROWS:
        parts.append(f"{len(judged.rows) - _MOST_ROWS} more rows are left out.\n")
    parts += [f"- {markdown(note)}" for note in judged.notes]
    return "\n".join(parts).rstrip() + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], plain: int | None = None) -> str:
    """A table; the column ``plain`` holds Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for row in rows:
        cells = [cell if at == plain else markdown(cell) for at, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
