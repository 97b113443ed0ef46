"""WatchedProject: a compose project on this machine whose containers a run of this machine loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WatchedProject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedProject:
    """CPU and memory of its containers are sampled through the Docker Engine's ``socket``."""

    project: str
    socket: Path
