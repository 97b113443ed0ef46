"""Load: what a trial sends: so many users (the closed model), or so many arrivals a second (the open model)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["RATE_UNIT", "Load", "load_of", "rate_text"]

RATE_UNIT: Final = "arrivals/s"
"""In the heads of tables and the titles of axes; sentences say "arrivals a second"."""


@dataclass(frozen=True, slots=True)
class Load:
    """``amount``: a whole number of users or, if it ``is_rate``, arrivals per second."""

    amount: float
    is_rate: bool = False

    def __str__(self) -> str:
        if self.is_rate:
            return f"{rate_text(self.amount)} arrival{'' if self.amount == 1 else 's'} a second"
        return f"{self.number} user{'' if self.amount == 1 else 's'}"

    @property
    def number(self) -> str:
        """Without its unit."""
        return rate_text(self.amount) if self.is_rate else f"{self.amount:,.0f}"


def load_of(users: int | None, rate: float | None) -> Load:
    """The load of which one of these is known. Raises `ValueError` if both are, or none."""
    if users is not None and rate is None:
        return Load(users)
    if rate is not None and users is None:
        return Load(rate, is_rate=True)
    raise ValueError(f"a load is a number of users or a rate, and these are {users} and {rate}")


def rate_text(per_s: float) -> str:
    """Arrivals per second without a power of ten: "0.5", "1,250"."""
    return f"{per_s:,.6f}".rstrip("0").rstrip(".")
