"""TargetLimits: what `LocalStack` needs to know to start the demo target under limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.errors import PlatformError

__all__ = ["TargetLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLimits:
    """How to start the demo target under limits.

    ``prefix``: the words before its command line, which put the process under them and then become it. ``confirm``
    gets the id of the process once it is ready, and raises where other limits hold. ``broke`` makes the exception to
    raise from the error with which it did not become ready.
    """

    prefix: tuple[str, ...]
    confirm: Callable[[int], None]
    broke: Callable[[PlatformError], Exception]
