"""Plain Locust, as a person starts it: the yardstick of what a Locust file does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOCUST = Path(sys.executable).with_name("locust")
"""The console script; ``python -m locust`` would put the current folder on the import path too."""


def plain_locust(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it headless, without settings of loadstone, and wait for its end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LOADSTONE_", "LOCUST_"))}
    return subprocess.run(
        [LOCUST, "--headless", "--only-summary", *map(str, arguments)],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
