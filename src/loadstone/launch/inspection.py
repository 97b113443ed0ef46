"""Inspection: load a scenario once, in a child process, and read what it defines."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.python import python_module
from loadstone.settings import ScenarioReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.settings.command_line import ScenarioQuestion

__all__ = ["inspect_files"]

_DEFAULT_NAME: Final = "locustfile.py"


def inspect_files(question: ScenarioQuestion, timeout_s: float) -> ScenarioReport:
    """What the scenario defines, and its command line taken apart.

    Raises `UsageError` when it does not load in time, `PlatformError` when it gives no report.
    The report comes in a file of its own: what the scenario prints, and when, does not matter.
    """
    names = ",".join(question.files) or _DEFAULT_NAME
    with tempfile.TemporaryDirectory(prefix="loadstone-") as folder:
        report, log = Path(folder) / "report.json", Path(folder) / "log"
        argv = python_module("loadstone.hook.run_inspection", str(report), msgspec.json.encode(question).decode())
        late = _runs_late(argv, log, timeout_s)
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(report.read_bytes(), type=ScenarioReport)
        last = (log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
    if late:
        raise UsageError(
            f"the scenario {names} did not load within {timeout_s:g} s",
            hint="Move slow work out of its module level, or give it more time with --import-timeout TIME",
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
