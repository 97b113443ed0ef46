"""Plain Locust, as a person starts it: the yardstick of what a Locust file does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.environ import without_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCUST = Path(sys.executable).with_name("locust")
"""The console script; ``python -m locust`` would put the current folder on the import path too."""
TIMEOUT_S = 280
"""For a machine that is busy; the tests that use it may take a little longer."""


def start_plain_locust(
    *arguments: str | Path, cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start it headless, without settings of loadstone but with these ``variables``."""
    return subprocess.Popen(
        [LOCUST, "--headless", "--only-summary", *map(str, arguments)],
        env={**without_settings(), **(variables or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def plain_locust(*arguments: str | Path) -> tuple[int, str]:
    """Run it and wait for its end: the exit code, and all that it said."""
    with start_plain_locust(*arguments) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, said
