"""Doubt: a flaw of the measurement, and the objectives whose result it could have changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadstone.domain.time import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from loadstone.domain.objective import Objective

__all__ = ["Doubt", "about", "any_objective", "any_request", "depends_on_workers", "time_text", "workers_text"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """``reason`` says what was wrong with the measurement; ``affects`` which objectives that may have changed."""

    reason: str
    affects: Callable[[Objective], bool]


def about(reason: str, texts: Collection[str]) -> Doubt:
    """A doubt about the objectives with these texts."""
    return Doubt(reason, lambda objective: objective.text in texts)


def any_objective(_objective: Objective) -> bool:
    """Whatever is judged."""
    return True


def any_request(objective: Objective) -> bool:
    """Whether it judges requests, in contrast to usage."""
    return not objective.is_usage


def depends_on_workers(objective: Objective) -> bool:
    """Too few users, or an overloaded worker, change how many requests are sent and how long they take, not more."""
    return objective.is_latency or objective.metric in {"rps", "count"}


def time_text(at_ns: int) -> str:
    """A moment of a run for people, such as ``19:45:01 UTC``."""
    return f"{iso(at_ns)[11:19]} UTC"


def workers_text(numbers: Sequence[int]) -> str:
    """Workers by their numbers, for people."""
    return f"worker{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
