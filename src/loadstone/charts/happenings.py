"""Events as charts and tables show them: a moment, a kind and a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MARKED", "event_name", "event_words"]

MARKED: Final = frozenset(EventKind) - {EventKind.USERS, EventKind.ROSTER, EventKind.EXCEPTION}
"""Events that are drawn as a line in every chart, and listed."""
_WORDS: Final[Mapping[EventKind, Callable[[Mapping[str, Any]], str]]] = {
    EventKind.STARTED: lambda data: f"{data.get('users', '?')} users on {data.get('host', '?')}",
    EventKind.RAMP_DONE: lambda data: f"{data.get('users', '?')} users run",
    EventKind.STAGE: lambda data: f"{data.get('users', '?')} users wanted",
    EventKind.WORKER_JOINED: lambda data: f"worker {data.get('worker', '?')}",
    EventKind.WORKER_LOST: lambda data: f"worker {data.get('worker', '?')}",
    EventKind.ORPHANED: lambda data: f"worker {data.get('worker', '?')}",
    EventKind.STOPPED: lambda data: f"Locust counted {data.get('requests', '?')} requests",
    EventKind.TARGET_EXITED: lambda data: f"exit code {data.get('code', '?')}",
    EventKind.CRASHED: lambda data: f"{data.get('part', '?')}, exit code {data.get('code', '?')}",
    EventKind.RESTARTED: lambda data: str(data.get("part", "?")),
    EventKind.NAMES_CAPPED: lambda data: f"more than {data.get('limit', '?')} request names",
}


def event_words(kind: EventKind, data: Mapping[str, Any]) -> str:
    """What an event says beside its kind."""
    words = _WORDS.get(kind)
    return words(data) if words else ""


def event_name(kind: EventKind) -> str:
    """The kind of an event for people."""
    return kind.replace("_", " ")
