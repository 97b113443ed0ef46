"""The version of this distribution, which pyproject.toml repeats and a test compares."""

from __future__ import annotations

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
