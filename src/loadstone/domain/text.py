"""Texts of scenarios and targets made safe to keep: secrets masked, control characters replaced, length bounded."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

__all__ = ["TEXT_LIMIT", "clean_text", "mask_secrets", "mask_values", "shortened"]

TEXT_LIMIT: Final = 1024
"""Bytes of UTF-8 that `clean_text` keeps."""

_LONGEST: Final = 8192
"""Characters that `shortened` keeps. Texts in memory are as long as that at most: thousands are remembered."""
_CONTROL: Final = dict.fromkeys((*range(32), 127), " ")
_HIDDEN: Final = "***"
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s?#]+@")
_OPEN_USER_INFO: Final = re.compile(r"(?<=://)[^/\s?#@]+\Z")
_PARAMETER: Final = re.compile(
    r"([?&;](?:[\w.\-]*(?:token|secret|passw|api[_\-]?key|access[_\-]?key|signature|credential)[\w.\-]*|key|sig|auth|pwd)=)"
    r"[^&;\s#\"'<>]+",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(r"\b(Bearer|Basic|Token)(\s+)[A-Za-z0-9+/=_.~\-]{8,}", re.IGNORECASE)


def shortened(text: str, most: int = _LONGEST) -> str:
    """At most ``most`` characters of a text. Where that cuts the user part of a URL off, no masking could find it."""
    return text if len(text) <= most else _OPEN_USER_INFO.sub(_HIDDEN, text[:most])


@lru_cache(maxsize=8192)
def mask_secrets(text: str) -> str:
    """The text with the user part of URLs, secret query parameters and authorization values replaced by ``***``."""
    masked = _USER_INFO.sub(f"{_HIDDEN}@", text) if "://" in text else text
    masked = _PARAMETER.sub(rf"\1{_HIDDEN}", masked) if "=" in masked else masked
    return _HEADER.sub(rf"\1\2{_HIDDEN}", masked)


def mask_values(value: Any) -> Any:
    """A JSON value with every text in it masked, at any depth; keys stay."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: mask_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mask_values(inner) for inner in value]
    return value


def clean_text(text: str) -> str:
    """A text with secrets masked and control characters made spaces, cut at `TEXT_LIMIT` bytes."""
    return _cut(mask_secrets(text).translate(_CONTROL))


def _cut(text: str) -> str:
    """At most `TEXT_LIMIT` bytes, without a piece of a character; a lone surrogate becomes a question mark."""
    data = text.encode("utf-8", "replace")
    return data[:TEXT_LIMIT].decode("utf-8", "ignore")
