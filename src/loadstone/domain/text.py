"""Texts of scenarios and targets made safe to keep: secrets masked, control characters replaced, length bounded."""

from __future__ import annotations

from typing import Final

from loadstone.domain.masking import mask_secrets

__all__ = ["TEXT_LIMIT", "clean_text"]

TEXT_LIMIT: Final = 1024
"""Bytes of UTF-8 that `clean_text` keeps."""

_CONTROL: Final = dict.fromkeys((*range(32), 127), " ")


def clean_text(text: str) -> str:
    """A text with control characters made spaces and secrets masked, cut at `TEXT_LIMIT` bytes."""
    return _cut(mask_secrets(text.translate(_CONTROL)))


def _cut(text: str) -> str:
    """At most `TEXT_LIMIT` bytes, without a piece of a character; a lone surrogate becomes a question mark."""
    data = text.encode("utf-8", "replace")
    return data[:TEXT_LIMIT].decode("utf-8", "ignore")
