"""Identity: a run's id, and what the master knows about the run when it starts."""

from __future__ import annotations

import hashlib
import platform
import secrets
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from typing import TYPE_CHECKING, Final

import gevent
import locust
from msgspec.structs import replace

from loadstone.domain.event import ScenarioIdentity, Started
from loadstone.domain.limits import LONGEST_LINE
from loadstone.domain.text import shortened
from loadstone.hook.inspect_scenario import scenario_files
from loadstone.stream.proof import RunSecret
from loadstone.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from locust.env import Environment
    from locust.runners import Runner

    from loadstone.settings import HookSettings

__all__ = [
    "ARRIVALS_OPTION",
    "ONLY_RUN_OPTION",
    "RUN_OPTION",
    "SECRET_OPTION",
    "SEED_OPTION",
    "files_of",
    "give_secret",
    "identity_of",
    "is_only_run",
    "new_run_id",
    "take_secret",
    "target_users",
]


RUN_OPTION: Final = "loadstone_run"
"""Attribute of Locust's parsed options. Those that are not Locust's own reach every worker with each spawn message."""

SECRET_OPTION: Final = "loadstone_run_secret"  # noqa: S105  (a name)
"""The same for the run's secret, as hexadecimal digits."""

SEED_OPTION: Final = "loadstone_seed"
"""The same for the seed of the workers' random numbers."""

ONLY_RUN_OPTION: Final = "loadstone_only_run"
"""The same for whether the processes end with the run."""


ARRIVALS_OPTION: Final = "loadstone_arrivals"
"""The same for whether users wait for arrivals (open model)."""


class _Unsaid(str):
    """A text that is not shown where options are printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def give_secret(environment: Environment, secret: RunSecret) -> None:
    """Let the run's id and its secret reach every process of the run."""
    setattr(environment.parsed_options, RUN_OPTION, secret.run)
    setattr(environment.parsed_options, SECRET_OPTION, _Unsaid(secret.key.hex()))


def take_secret(environment: Environment) -> RunSecret | None:
    """The secret of the run that begins; None where its master has no hook, or an older one that gives none."""
    options = environment.parsed_options
    run, digits = getattr(options, RUN_OPTION, None), getattr(options, SECRET_OPTION, None)
    if run is None or digits is None:
        return None
    setattr(options, SECRET_OPTION, _Unsaid(digits))
    return RunSecret(run, bytes.fromhex(digits))


def new_run_id() -> str:
    """An id that sorts by time and does not repeat, such as ``20261123-194501-3fa9``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def identity_of(environment: Environment, settings: HookSettings, files: ScenarioIdentity) -> Started:
    """The event that starts a run: scenario, load, limits and versions; ``files`` is what `files_of` gave."""
    options = environment.parsed_options
    runner = environment.runner
    return Started(
        scenario=replace(
            files,
            user_classes=tuple(sorted(user_class.__name__ for user_class in environment.user_classes)),
            shape=type(environment.shape_class).__name__ if environment.shape_class else None,
        ),
        host=_targets(environment),
        users=target_users(runner) if runner else 0,
        spawn_rate=getattr(runner, "spawn_rate", None) or getattr(options, "spawn_rate", None),
        run_time_s=_run_time_s(environment) if settings.run_time is None else settings.run_time,
        steady_state_s=settings.steady_state,
        warmup_s=settings.warmup,
        stop_timeout_s=environment.stop_timeout or 0.0,
        seed=settings.seed,
        tags=tuple(getattr(options, "tags", None) or ()),
        exclude_tags=tuple(getattr(options, "exclude_tags", None) or ()),
        rate=settings.rate,
        arrivals=settings.arrivals if settings.rate else None,
        objectives=settings.objective,
        workers=getattr(runner, "worker_count", 1),
        target=dict(settings.target) if settings.target else None,
        limits=dict(settings.limits) if settings.limits else None,
        versions=versions(),
        launch=settings.launch,
        exit_from=("command" if settings.launch else "process") if is_only_run(environment) else None,
    )


def is_only_run(environment: Environment) -> bool:
    """Whether the process ends with its run; with a web UI it goes on."""
    return bool(getattr(environment.parsed_options, "headless", False))


def target_users(runner: Runner) -> int:
    """How many users are to run. A load shape may ask for a fraction of one; Locust then starts a whole one."""
    return ceil(runner.target_user_count)


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    return {
        "loadstone": __version__,
        "locust": locust.__version__,
        "gevent": gevent.__version__,
        "geventhttpclient": version("geventhttpclient"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _run_time_s(environment: Environment) -> float | None:
    """What Locust itself was asked for; a load shape knows nothing of it, unless it says that it does."""
    shape = environment.shape_class
    ignored = shape is not None and not shape.use_common_options
    return None if ignored else getattr(environment.parsed_options, "run_time", None) or None


def _targets(environment: Environment) -> str | None:
    """Every host that the user classes have, separated by commas; None where only the scenario's code knows it.

    Cut where an event could not hold them.
    """
    hosts = [environment.host] if environment.host else [user.host for user in environment.user_classes]
    text = ", ".join(sorted({host for host in hosts if host and isinstance(host, str)}))
    return shortened(text, LONGEST_LINE) or None


def files_of(environment: Environment) -> ScenarioIdentity:
    """The Locust files of this process. Takes a moment, in which other greenlets run: none of a run may be among them.

    Users and Locust's run time would begin at different times.
    """
    files = scenario_files(environment.parsed_locustfiles or ())
    return ScenarioIdentity(
        files=tuple(file.name for file in files),
        digest=_digest(files),
        git_revision=_git_revision(files[0].parent) if files else None,
    )


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + (file.read_bytes() if file.is_file() else b"") + b"\0")
    return "sha256:" + digest.hexdigest()


def _git_revision(folder: Path) -> str | None:
    """The commit that a folder is at, with ``+changes`` when it is not clean; None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
