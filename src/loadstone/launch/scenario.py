"""The scenario before a run: load it once in a child process to check it, and the command of a worker that runs it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.errors import PlatformError, UsageError
from loadstone.hook.inspect_scenario import PLUGIN_FILE
from loadstone.settings import (
    HookOnlySettings,
    ScenarioReport,
    as_environment,
    child_environment,
    inherited_environment,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.settings import WorkerSettings

__all__ = ["Scenario", "default_locustfile", "inspect", "worker_command"]

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """The files of a scenario, what it defines, and the arguments that it gets.

    ``shape_takes_options``: its load shape reads users, spawn rate and run time (Locust's ``use_common_options``).
    """

    files: tuple[Path, ...]
    user_classes: tuple[str, ...]
    hosts: tuple[str, ...]
    shape: str | None
    arguments: tuple[str, ...]
    shape_takes_options: bool = False


def default_locustfile() -> Path:
    """The sample scenario: in the current folder, else in the repository that this package lies in."""
    here = Path("locust-worker") / "locustfile.py"
    return here if here.exists() else Path(__file__).parents[3] / here


def inspect(files: Sequence[Path], arguments: Sequence[str]) -> Scenario:
    """Load a scenario in a child process. Raises `UsageError` when it, or one of its arguments, is wrong."""
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
        raise UsageError(
            f"the scenario {names} did not load within {_TIMEOUT_S:.0f} s",
            hint="Move slow work out of its module level",
        ) from error
    report = _read_report(done, names)
    if report.error:
        raise UsageError(report.error, hint=report.hint)
    return Scenario(
        tuple(files), report.user_classes, report.hosts, report.shape, tuple(arguments), report.shape_takes_options
    )


def _read_report(done: subprocess.CompletedProcess[str], names: str) -> ScenarioReport:
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=ScenarioReport)
    except (IndexError, msgspec.MsgspecError) as error:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise PlatformError(f"the scenario {names} could not be inspected: {last}") from error


def worker_command(settings: WorkerSettings, arguments: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Program arguments and environment of a worker that joins a master.

    Without a scenario Locust asks the master for its files, the hook among them. Raises `UsageError` for a wrong
    scenario, `SettingsError` for a wrong setting of the hook.
    """
    load(HookOnlySettings)
    if settings.locustfile:
        inspect(settings.locustfile, arguments)
    files = ",".join(map(str, (*settings.locustfile, PLUGIN_FILE))) if settings.locustfile else "-"
    master = ["--master-host", settings.master, "--master-port", str(settings.master_port)]
    argv = [sys.executable, "-m", "locust", "-f", files, "--worker", *master, *arguments]
    env = {**inherited_environment(HookOnlySettings), **as_environment({"redis_url": settings.redis_url})}
    return argv, child_environment(env)
