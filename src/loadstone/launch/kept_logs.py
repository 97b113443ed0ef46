"""KeptLogs: the logs of a stack's processes, each part of them in the folder of the run to which it belongs.

They are written when all processes have ended, because what a process says at its end matters most.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loadstone.archive.folder import RunFolder
from loadstone.archive.logs import keep_logs, make_room

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KeptLogs"]

_WITHOUT_RUN: Final = "logs-without-run"
_MOST_WITHOUT_RUN: Final = 10


class KeptLogs:
    """The logs in a temporary folder, to be kept in a results folder."""

    def __init__(self, logs: Path, results: Path) -> None:
        self._logs = logs
        self._results = results
        self._begins: dict[str, dict[Path, int]] = {}
        """For each run, in order, how long each log was when it was first seen."""

    def note_run(self, run: str) -> None:
        """From now on logs belong to this run; what was said before the first run belongs to that."""
        if run not in self._begins:
            self._begins[run] = self._sizes() if self._begins else {}

    def keep(self, *, even_without_run: bool) -> str:
        """Write the logs of each run into its folder; where there was none, beside the runs, if that is wanted.

        What to tell the user: where logs are that no run folder has, or why they could not be kept; "" otherwise.
        """
        runs = list(self._begins)
        ends = [*(self._begins[run] for run in runs[1:]), self._sizes()]
        try:
            lost = [run for run, end in zip(runs, ends, strict=False) if not self._keep_run(run, end)]
            if lost or (even_without_run and not runs and any(self._sizes().values())):
                return f"the logs of all processes are in {self._keep_beside()}"
        except OSError as error:
            return f"the logs of the processes could not be kept: {error}"
        return ""

    def _keep_run(self, run: str, end: dict[Path, int]) -> bool:
        folder, begin = RunFolder(self._results / run), self._begins[run]
        if not folder.path.is_dir():
            return False
        keep_logs(folder.logs, {log: range(begin.get(log, 0), size) for log, size in end.items()})
        return True

    def _keep_beside(self) -> Path:
        parent = self._results / _WITHOUT_RUN
        folder = parent / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        keep_logs(folder, {log: range(size) for log, size in self._sizes().items()})
        make_room(parent, _MOST_WITHOUT_RUN)
        return folder

    def _sizes(self) -> dict[Path, int]:
        return {log: log.stat().st_size for log in sorted(self._logs.glob("*.log"))}
