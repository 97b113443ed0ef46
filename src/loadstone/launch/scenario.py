"""The scenario before a run: its files are there, it loads, it has users, and it knows its arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PLUGIN", "Scenario", "default_locustfile", "examine"]

PLUGIN: Final = Path(__file__).parents[1] / "hook" / "plugin" / "loadstone_hook.py"
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a look into the scenario found."""

    files: tuple[Path, ...]
    user_classes: tuple[str, ...]
    hosts: tuple[str, ...]
    shape: str | None
    arguments: tuple[str, ...]


def default_locustfile() -> Path:
    """The scenario of the repository that this package lies in, or of the current folder."""
    here = Path("locust-worker") / "locustfile.py"
    return here if here.exists() else Path(__file__).parents[3] / here


def examine(files: Sequence[Path], arguments: Sequence[str]) -> Scenario:
    """Look into a scenario. Raises `UsageError` saying what is wrong with it or its arguments."""
    for file in files:
        if not file.exists():
            raise UsageError(f"the scenario {file} does not exist", hint="Name a Locust file with -f FILE")
    names = ",".join(map(str, files))
    argv = [sys.executable, "-m", "loadstone.hook.inspect_scenario", names, *arguments]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"the scenario {names} did not load within {_TIMEOUT_S:.0f} s") from error
    found = _answer(done, names)
    if found["error"]:
        raise UsageError(found["error"], hint=found["hint"])
    return Scenario(tuple(files), tuple(found["user_classes"]), tuple(found["hosts"]), found["shape"], tuple(arguments))


def _answer(done: subprocess.CompletedProcess[str], names: str) -> dict[str, Any]:
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PlatformError(f"the scenario {names} could not be looked into: {last}") from error
    return dict(found)
