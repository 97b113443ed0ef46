"""Retries: when to try again what failed, each thing after pauses of its own that double up to a limit."""

from __future__ import annotations

from typing import Final

__all__ = ["Retries"]

_MOST_DOUBLINGS: Final = 30


class Retries:
    """What failed, by name. Times are seconds of a monotonic clock, which the caller reads."""

    def __init__(self, *, first_s: float = 1.0, longest_s: float = 60.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures: dict[str, int] = {}
        self._due_s: dict[str, float] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._failures

    def failed(self, name: str, now_s: float) -> float:
        """Note a failure. Returns the pause until the next try, seconds."""
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        pause_s = min(self._longest_s, self._first_s * 2.0 ** min(failures, _MOST_DOUBLINGS))
        self._due_s[name] = now_s + pause_s
        return pause_s

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name, if there are any."""
        self._failures.pop(name, None)
        self._due_s.pop(name, None)

    def is_due(self, name: str, now_s: float) -> bool:
        """Whether to try now: always, unless it failed and its pause is not over."""
        return now_s >= self._due_s.get(name, now_s)

    @property
    def names(self) -> list[str]:
        """What failed and has not succeeded since, sorted."""
        return sorted(self._failures)
