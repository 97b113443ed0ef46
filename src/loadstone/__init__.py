"""loadstone: distributed load tests whose every request is kept and whose numbers can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadstone.version import __version__

if TYPE_CHECKING:
    from loadstone.domain.arrival_shape import ArrivalShape
    from loadstone.lean import LeanHttpUser

__all__ = ["ArrivalShape", "LeanHttpUser", "__version__"]


def __getattr__(name: str) -> Any:
    """Import Locust only when a scenario asks for the user class: collectors and the CLI have no Locust installed."""
    if name == "ArrivalShape":
        from loadstone.domain.arrival_shape import ArrivalShape  # noqa: PLC0415

        return ArrivalShape
    if name == "LeanHttpUser":
        from loadstone.lean import LeanHttpUser  # noqa: PLC0415

        return LeanHttpUser
    raise AttributeError(f"module 'loadstone' has no attribute {name!r}")
