"""A command that is asked to stop while its scenario loads ends at once and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from loadstone.errors import ExitCode
from support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLOW = """import os, time
from pathlib import Path
Path(__file__).with_suffix(".pid").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.mark.parametrize("verb", ["run", "up"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_scenario_that_is_loading(tmp_path: Path, verb: str, number: signal.Signals):
    (tmp_path / "slow.py").write_text(SLOW)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "loadstone", verb, "-f", str(tmp_path / "slow.py")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        noted = tmp_path / "slow.pid"
        wait_until(lambda: noted.exists() and bool(noted.read_text()), "the scenario loads", timeout_s=60)
        child = psutil.Process(int(noted.read_text()))
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child has ended")
    finally:
        process.kill()
        process.communicate()
    if number != signal.SIGKILL:
        assert (process.returncode, said) == (ExitCode.INTERRUPTED, "")
        assert list(temporary.glob("loadstone-*")) == []
