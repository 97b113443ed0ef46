"""Verbs that run one long-lived process of the platform: ``worker``, ``collector``, ``usage``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from loadstone.cli.common import StopFlag, Verb, add_options, say, settings_from
from loadstone.cli.scenario_line import read_line
from loadstone.collector.service import serve
from loadstone.errors import ExitCode, UsageError
from loadstone.launch.scenario import worker_command
from loadstone.settings import CollectorSettings, UsageSettings, WorkerSettings
from loadstone.stream.client import check, connect
from loadstone.usage.sampler import sample_forever

if TYPE_CHECKING:
    import argparse

__all__ = ["COLLECTOR", "USAGE", "WORKER"]


def _worker(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Replace this process by the Locust worker, whose exit code is then this command's."""
    line = read_line(WorkerSettings, arguments, words, worker=True, check=_check_stream_is_named)
    settings = line.settings
    for note in line.notes:
        say(note)
    client = connect(settings.redis_url or "")
    check(client)
    client.close()
    argv, environment = worker_command(settings, line.scenario)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, environment)  # noqa: S606  (keeps the process id, for a supervisor)


def _check_stream_is_named(settings: WorkerSettings) -> None:
    if settings.redis_url is None:
        raise UsageError(
            "--redis-url is not set",
            hint="Give the address that the master printed when it started, as --loadstone-redis-url if the scenario "
            "declares --redis-url",
        )


def _collector(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    serve(settings_from(CollectorSettings, arguments), StopFlag.install())
    return ExitCode.PASS


def _usage(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    sample_forever(settings_from(UsageSettings, arguments), StopFlag.install())
    return ExitCode.PASS


WORKER: Final = Verb(
    name="worker",
    help="Start a worker that joins a Locust master on this machine or another one.",
    notes="Options that are not listed here go to Locust or the scenario, and so does all that follows a separate --.",
    configure=lambda parser: add_options(parser, WorkerSettings),
    execute=_worker,
    passes_arguments_on=True,
    outlives_output=True,
)
COLLECTOR: Final = Verb(
    name="collector",
    help="Run the Aggregator, which writes the archive of each run, and the InfluxWriter as one service.",
    notes="Without --influx-url only the Aggregator runs; --only runs one of the two alone.",
    configure=lambda parser: add_options(parser, CollectorSettings),
    execute=_collector,
    is_service=True,
    outlives_output=True,
)
USAGE: Final = Verb(
    name="usage",
    help="Run the UsageSampler as a service: record CPU and memory of processes or containers.",
    notes="It ends on SIGTERM or Ctrl-C, or when all processes named with --pid have ended.",
    configure=lambda parser: add_options(parser, UsageSettings),
    execute=_usage,
    is_service=True,
    outlives_output=True,
)
