"""Write an archived run to InfluxDB: `loadstone influx backfill RUN`. Doing it twice changes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.archive.closed_run import resolve_run
from loadstone.archive.finalize.closing import set_influx_ledger
from loadstone.cli.options import add_options, settings_from
from loadstone.cli.signals import StopFlag
from loadstone.errors import ExitCode, UsageError
from loadstone.influx.backfill import write_run
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.settings import InfluxSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["configure", "execute"]


class _InterruptedError(Exception):
    """The user gave up waiting for InfluxDB."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=["backfill"], help="write everything of a run, from its journal")
    parser.add_argument("run", metavar="RUN", help="id of the run, its beginning, or `latest`")
    parser.add_argument("--results", default="results", metavar="DIR", help="folder of the runs (default: results)")
    add_options(parser, InfluxSettings)


def execute(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write one run and bring its ledger up to date. InfluxDB being away is waited for; Ctrl-C ends that."""
    settings = settings_from(InfluxSettings, arguments)
    if settings.influx_url is None:
        raise UsageError("there is no InfluxDB to write to", hint="Name it with --influx-url")
    folder = resolve_run(Path(arguments.results), arguments.run)
    sink = InfluxClient(settings, now_s=time.time)
    try:
        delivery = Delivery(sink, _patience(StopFlag.install()), refused_pause_s=settings.influx_retry)
        ledger = write_run(folder, delivery)
    except _InterruptedError:
        return ExitCode.INTERRUPTED
    finally:
        sink.close()
    if folder.is_closed:
        with folder.lock():
            set_influx_ledger(folder, ledger)
    print(f"run {folder.run}: {ledger['stored']} requests stored, {ledger['rejected']} rejected")  # noqa: T201
    return ExitCode.PASS


def _patience(stop: StopFlag) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not stop() and time.monotonic() < until_s:
            time.sleep(0.05)
        if stop():
            raise _InterruptedError

    return wait
