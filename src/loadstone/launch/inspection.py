"""Inspection: load a scenario once, in a child process, and read what it defines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.launch.managed_process import end_with_parent
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
        report, log, asked = (Path(folder) / name for name in ("report.json", "log", "question.json"))
        asked.write_bytes(msgspec.json.encode(question))
        argv = python_module("loadstone.hook.run_inspection", str(report), str(asked))
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
    """Whether the process had to be killed; threads of the scenario may keep it alive after its report.

    It ends on the way out, whatever the reason, with everything that it started.
    """
    with log.open("wb") as errors:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return False
