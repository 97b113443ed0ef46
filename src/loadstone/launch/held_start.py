"""HeldStart: Locust's processes import their modules while the target starts, and begin when they are let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from loadstone.settings import as_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from loadstone.launch.managed_process import ManagedProcess

__all__ = ["HeldStart"]


class HeldStart:
    """The file for which processes wait that have its ``environment`` (see `loadstone.hook.run_locust`)."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "go.json"

    @property
    def environment(self) -> dict[str, str]:
        """The variable that holds a process."""
        return as_environment({"held_until": self._file})

    def let_go(self, processes: Iterable[ManagedProcess], told: Mapping[str, str]) -> None:
        """Let processes begin, with variables that were not known before. One that is restarted does not wait again."""
        written = self._file.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(told))
        written.rename(self._file)
        for process in processes:
            kept = {name: text for name, text in process.env.items() if name not in self.environment}
            process.env = {**kept, **told}
