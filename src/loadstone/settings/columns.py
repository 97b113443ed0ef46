"""How wide somebody wants tables where the output is no terminal."""

from __future__ import annotations

import os

__all__ = ["asked_columns"]


def asked_columns() -> int | None:
    """The number in COLUMNS, which shells and CI systems set; None where it is not set, or no such number."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) or None if asked.isdecimal() else None
