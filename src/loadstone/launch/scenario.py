"""The scenario before a run: load it once in a child process to check it, and the command of a worker that runs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

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
    from loadstone.settings import ScenarioReport, UserReport, WorkerSettings
    from loadstone.settings.command_line import ScenarioQuestion

__all__ = ["Scenario", "ask", "scenario_of", "worker_command"]

_TIMEOUT_S: Final = 60.0
_URL_AS_PATH: Final = re.compile(r"(https?:)/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The files of a scenario, what it defines, and the arguments that Locust's processes get.

    ``shape_takes_options``: its load shape reads users, spawn rate and run time (Locust's ``use_common_options``).
    ``unlisted_arguments`` come from variables and files, and so do not appear on command lines, which others can list.
    """

    files: tuple[Path, ...]
    user_classes: tuple[str, ...]
    hosts: tuple[str, ...]
    shape: str | None
    arguments: tuple[str, ...]
    shape_takes_options: bool = False
    unlisted_arguments: tuple[str, ...] = ()
    master_arguments: tuple[str, ...] = ()
    arrival_shape: str | None = None
    arrival_stages: tuple[str, ...] = ()
    """What that gives, as stages of a rate; see `loadstone.domain.arrival_shape`."""
    users: tuple[UserReport, ...] = ()
    """Those of the classes that would run."""
    has_absolute_urls: bool = False
    notes: tuple[str, ...] = ()
    """What preflight found worth knowing, although it prevents nothing."""


def ask(question: ScenarioQuestion, timeout_s: float = _TIMEOUT_S) -> ScenarioReport:
    """What a child process finds out about a scenario and its command line. Raises `UsageError` for what is wrong."""
    for word in (*question.files, *question.words, *question.after):
        if word != word.encode("utf-8", "replace").decode():
            raise UsageError(f"{word!r} is not in UTF-8", hint="Rename the file or folder that is meant")
    for file in map(Path, question.files):
        if not file.exists():
            raise _missing(str(file))
    report = inspect_files(question, timeout_s)
    if report.error:
        raise UsageError(report.error, hint=report.hint)
    return report


def _missing(file: str) -> UsageError:
    """A path has lost one of the slashes of a URL."""
    if _URL_AS_PATH.match(file):
        url = _URL_AS_PATH.sub(r"\1//", file)
        return UsageError(f"the scenario {url} is a URL, not a file", hint=f"Download it first: curl -O {url}")
    return UsageError(f"the scenario {file} does not exist", hint="Name a Locust file with -f FILE")


def scenario_of(report: ScenarioReport) -> Scenario:
    """The scenario that a report describes."""
    return Scenario(
        files=tuple(map(Path, report.files)),
        user_classes=report.user_classes,
        hosts=report.hosts,
        shape=report.shape,
        shape_takes_options=report.shape_takes_options,
        arrival_shape=report.arrival_shape,
        arrival_stages=report.arrival_stages,
        arguments=report.line.arguments,
        unlisted_arguments=report.line.unlisted,
        master_arguments=report.line.master_arguments,
        users=report.users,
        has_absolute_urls=report.has_absolute_urls,
    )


def worker_command(settings: WorkerSettings, scenario: Scenario) -> tuple[list[str], dict[str, str]]:
    """Program arguments and environment of a worker that joins a master.

    If the scenario has no files, Locust asks the master for them, the hook among them. Raises `SettingsError` for a
    wrong setting of the hook.
    """
    load(HookOnlySettings)
    files = ",".join(map(str, (*scenario.files, PLUGIN_FILE))) if scenario.files else "-"
    master = ["--master-host", settings.master, "--master-port", str(settings.master_port)]
    words = {"locust_words": scenario.unlisted_arguments, "locust_arguments": scenario.arguments}
    hidden = {name: msgspec.json.encode(each).decode() for name, each in words.items()}
    env = {**inherited_environment(HookOnlySettings), **as_environment({"redis_url": settings.redis_url, **hidden})}
    return python_module(RUN_LOCUST, "-f", files, "--worker", *master), child_environment(env)
