"""WatchedProject: a compose project on this machine that a run of this machine loads, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["WatchedProject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedProject:
    """CPU and memory of its containers are sampled through the Docker Engine's ``socket``.

    ``limits`` and ``target``, JSON objects, stand in the run's run.json.
    """

    project: str
    socket: Path
    limits: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
