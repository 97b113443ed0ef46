"""Texts of scenarios and targets made safe to keep and to show: no secrets, no control characters, bounded length."""

from __future__ import annotations

import re
from typing import Final

from loadstone.domain.masking import mask_secrets

__all__ = ["TEXT_LIMIT", "clean_text", "printable", "shortened"]

TEXT_LIMIT: Final = 1024
"""Bytes of UTF-8 that `clean_text` keeps."""

_LONGEST: Final = 8192
"""Characters that `shortened` keeps. Texts in memory are as long as that at most: thousands are remembered."""
_CONTROL: Final = dict.fromkeys((*range(32), 127), " ")
_OPEN_USER_INFO: Final = re.compile(r"(?<=://)[^/\s?#@]+\Z")
_COMMANDS: Final = (
    *(code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"),  # C0, DEL and C1: escape sequences
    *(0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),  # these change the order of what is shown
    *range(0xD800, 0xE000),  # bytes of a file name that are no text; no terminal could be sent them
)
_ESCAPED: Final = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _COMMANDS}  # noqa: PLR2004


def shortened(text: str, most: int = _LONGEST) -> str:
    """At most ``most`` characters of a text. Where that cuts the user part of a URL off, no masking could find it."""
    return text if len(text) <= most else _OPEN_USER_INFO.sub("***", text[:most])


def printable(text: str) -> str:
    """A text that a terminal only shows: what it would obey is spelled out as Python does; line ends and tabs stay."""
    return text.translate(_ESCAPED)


def clean_text(text: str) -> str:
    """A text with control characters made spaces and secrets masked, cut at `TEXT_LIMIT` bytes."""
    return _cut(mask_secrets(text.translate(_CONTROL)))


def _cut(text: str) -> str:
    """At most `TEXT_LIMIT` bytes, without a piece of a character; a lone surrogate becomes a question mark."""
    data = text.encode("utf-8", "replace")
    return data[:TEXT_LIMIT].decode("utf-8", "ignore")
