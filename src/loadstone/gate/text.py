"""Names and error texts of a target, made harmless for Markdown and XML."""

from __future__ import annotations

import html
import re
from typing import Final

__all__ = ["markdown", "xml_text"]

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+!|~:@-])")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(text: str) -> str:
    """The text on one line as Markdown that shows exactly it: no link, no image, no HTML, no table cell."""
    flat = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))


def xml_text(text: str) -> str:
    """The text without the characters that XML 1.0 cannot hold (production 2, "Char")."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
