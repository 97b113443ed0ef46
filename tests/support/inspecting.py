"""What loadstone finds in a scenario before a run, in a child process as for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.launch.scenario import Scenario, ask, scenario_of
from loadstone.settings.command_line import ScenarioQuestion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def inspect(files: Sequence[Path], arguments: Sequence[str]) -> Scenario:
    """Load a scenario. Raises `UsageError` when it, or one of its arguments, is wrong."""
    return scenario_of(ask(ScenarioQuestion(files=tuple(map(str, files)), words=tuple(arguments))))
