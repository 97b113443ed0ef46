"""Units of memory, for everything that shows or reads sizes."""

from __future__ import annotations

from typing import Final

__all__ = ["GIB", "MIB"]

MIB: Final = 1024**2
GIB: Final = 1024**3
