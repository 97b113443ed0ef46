"""Inspection: load a scenario once, in a child process, and read what it defines."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.python import python_module
from loadstone.settings import ScenarioReport

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["inspect_files"]


def inspect_files(files: Sequence[Path], arguments: Sequence[str], timeout_s: float) -> ScenarioReport:
    """What the scenario defines. Raises `UsageError` when it does not load in time, `PlatformError` without a report.

    The report comes in a file of its own: what the scenario prints, and when, does not matter.
    """
    names = ",".join(map(str, files))
    with tempfile.TemporaryDirectory(prefix="loadstone-") as folder:
        report, log = Path(folder) / "report.json", Path(folder) / "log"
        argv = python_module("loadstone.hook.run_inspection", str(report), *map(str, files), "--", *arguments)
        late = _runs_late(argv, log, timeout_s)
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(report.read_bytes(), type=ScenarioReport)
        last = (log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
    if late:
        raise UsageError(
            f"the scenario {names} did not load within {timeout_s:.0f} s", hint="Move slow work out of its module level"
        )
    raise PlatformError(f"the scenario {names} could not be inspected: {last}")


def _runs_late(argv: Sequence[str], log: Path, timeout_s: float) -> bool:
    """Whether the process had to be killed; threads of the scenario may keep it alive after its report."""
    with log.open("wb") as errors:
        try:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=timeout_s,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return True
    return False
