"""The fenced blocks of the documentation's pages."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "Block", "all_blocks", "blocks", "pages", "spans"]

ROOT: Final = Path(__file__).resolve().parents[3]
_FENCE: Final = re.compile(r"(?P<indent>\s*)(?P<fence>```+|~~~+)(?P<language>\S*)")
_SPAN: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


class Block(NamedTuple):
    """A fenced block: its page, the number of its first line there, its language ("" without one) and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page that tells people what to do, by its path in the repository."""
    at_the_top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "target/README.md"]
    return at_the_top + sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [block for page in pages() for block in blocks(page, (ROOT / page).read_text())]


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks in the text of a page. Raises `ValueError` for one that does not end."""
    opened: tuple[str, str, int] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line.rstrip())
        if opened is None:
            opened, inside = (fence["fence"], fence["language"], number + 1) if fence else None, []
        elif fence and fence["fence"] == opened[0] and not fence["language"]:
            yield Block(page, opened[2], opened[1], textwrap.dedent("".join(inside)))
            opened = None
        else:
            inside.append(f"{line}\n")
    if opened:
        raise ValueError(f"the block that begins in {page}:{opened[2]} does not end")


def spans(page: str, text: str) -> Iterator[Block]:
    """What stands between single backquotes outside of blocks, as blocks of one line."""
    inside = {
        number
        for block in blocks(page, text)
        for number in range(block.line - 1, block.line + len(block.text.splitlines()) + 1)
    }
    for number, line in enumerate(text.splitlines(), 1):
        if number not in inside:
            yield from (Block(page, number, "", found) for found in _SPAN.findall(line))
