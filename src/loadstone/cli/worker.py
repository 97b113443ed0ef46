"""Join a run's master with one more worker, from this machine or another one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from loadstone.cli.options import add_options, settings_from
from loadstone.errors import UsageError
from loadstone.launch.join import worker_command
from loadstone.settings import WorkerSettings
from loadstone.stream.client import check, connect

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "execute"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options. Arguments not known here go to Locust and the scenario."""
    add_options(parser, WorkerSettings)


def execute(arguments: argparse.Namespace, rest: tuple[str, ...]) -> int:
    """Become the Locust worker; its exit code is this command's."""
    settings = settings_from(WorkerSettings, arguments)
    if settings.redis_url is None:
        raise UsageError("--redis-url is not set", hint="Name the Redis that the master uses; it prints its address")
    client = connect(settings.redis_url)
    check(client)
    client.close()
    argv, environment = worker_command(settings, rest)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, environment)  # noqa: S606  (a worker is its own process, with our id)
