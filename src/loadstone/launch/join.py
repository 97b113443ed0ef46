"""The command of a worker that joins a master somewhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loadstone.errors import UsageError
from loadstone.launch.scenario import PLUGIN, examine
from loadstone.settings import as_environment, child_environment

if TYPE_CHECKING:
    from loadstone.settings import WorkerSettings

__all__ = ["worker_command"]


def worker_command(settings: WorkerSettings, arguments: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Program arguments and environment of the worker. Raises `UsageError` when its scenario is not in order.

    Without a scenario Locust asks the master for its files, the hook among them.
    """
    if settings.locustfile:
        examine(settings.locustfile, arguments)
    if not settings.master:
        raise UsageError("--master is empty", hint="Name the host of the Locust master")
    files = ",".join(map(str, (*settings.locustfile, PLUGIN))) if settings.locustfile else "-"
    master = ["--master-host", settings.master, "--master-port", str(settings.master_port)]
    argv = [sys.executable, "-m", "locust", "-f", files, "--worker", *master, *arguments]
    return argv, child_environment(as_environment({"redis_url": settings.redis_url}))
