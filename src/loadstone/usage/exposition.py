"""Prometheus' text format, as far as cAdvisor writes it.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.usage.reading import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Measured", "parse_exposition"]

_LINE: Final = re.compile(
    r"""(?P<name>[a-zA-Z_:][\w:]*)
        (?:\{(?P<labels>(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*)\})?
        \s+(?P<value>\S+)
        (?:\s+(?P<at_ms>-?\d+))?\s*""",
    re.VERBOSE,
)
_LABEL: Final = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n"}


class Measured(NamedTuple):
    """One value with its labels, and its own time in milliseconds where it has one."""

    name: str
    labels: dict[str, str]
    value: float
    at_ms: int | None


def parse_exposition(text: str, prefix: str = "") -> Iterator[Measured]:
    """The values whose names begin with ``prefix``. Raises `SourceError` at the first line that is none."""
    for line in text.splitlines():
        if not line.startswith("#") and line.strip() and line.startswith(prefix):
            yield _parsed(line)


def _parsed(line: str) -> Measured:
    match = _LINE.fullmatch(line)
    value = _number(match["value"]) if match else None
    if match is None or value is None:
        raise SourceError(f"this is no line of Prometheus' text format: {line[:120]!r}")
    labels = {name: _unescaped(text) for name, text in _LABEL.findall(match["labels"] or "")}
    return Measured(match["name"], labels, value, int(match["at_ms"]) if match["at_ms"] else None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), value)
