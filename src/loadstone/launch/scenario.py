"""The scenario before a run: load it once in a child process to check it, and the command of a worker that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.errors import UsageError
from loadstone.hook.inspect_scenario import PLUGIN_FILE
from loadstone.launch.inspection import inspect_files
from loadstone.launch.python import RUN_LOCUST, python_module
from loadstone.settings import (
    HookOnlySettings,
    as_environment,
    child_environment,
    inherited_environment,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadstone.settings import UserReport, WorkerSettings

__all__ = ["Scenario", "default_locustfile", "inspect", "worker_command"]

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """The files of a scenario, what it defines, and the arguments that it gets."""

    files: tuple[Path, ...]
    user_classes: tuple[str, ...]
    hosts: tuple[str, ...]
    shape: str | None
    arguments: tuple[str, ...]
    users: tuple[UserReport, ...] = ()
    """Those of the classes that would run."""
    has_absolute_urls: bool = False
    notes: tuple[str, ...] = ()
    """What preflight found worth knowing, although it prevents nothing."""


def default_locustfile() -> Path:
    """The sample scenario: in the current folder, else in the repository that this package lies in."""
    here = Path("locust-worker") / "locustfile.py"
    return here if here.exists() else Path(__file__).parents[3] / here


def inspect(files: Sequence[Path], arguments: Sequence[str]) -> Scenario:
    """Load a scenario in a child process. Raises `UsageError` when it, or one of its arguments, is wrong."""
    for file in files:
        if not file.exists():
            raise UsageError(f"the scenario {file} does not exist", hint="Name a Locust file with -f FILE")
    report = inspect_files(files, arguments, _TIMEOUT_S)
    if report.error:
        raise UsageError(report.error, hint=report.hint)
    return Scenario(
        files=tuple(files),
        user_classes=report.user_classes,
        hosts=report.hosts,
        shape=report.shape,
        arguments=tuple(arguments),
        users=report.users,
        has_absolute_urls=report.has_absolute_urls,
    )


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
    argv = python_module(RUN_LOCUST, "-f", files, "--worker", *master, *arguments)
    env = {**inherited_environment(HookOnlySettings), **as_environment({"redis_url": settings.redis_url})}
    return argv, child_environment(env)
