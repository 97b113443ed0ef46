"""``loadstone influx backfill RUN``: write an archived run to InfluxDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from loadstone.archive.finalize.closing import set_influx_ledger
from loadstone.cli.common import StopFlag, Verb, add_options, add_results, add_run, named_run, say, settings_from
from loadstone.errors import ExitCode, UsageError
from loadstone.influx.backfill import write_run
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.settings import InfluxSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["INFLUX"]

_LOOK_EVERY_S: Final = 0.05


class _InterruptedError(Exception):
    """The user stopped waiting for InfluxDB."""


def _configure_backfill(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_results(parser)
    add_options(parser, InfluxSettings)


def _backfill(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write one run and update its ledger. Waits while InfluxDB is unavailable, until Ctrl-C."""
    settings = settings_from(InfluxSettings, arguments)
    if settings.influx_url is None:
        raise UsageError("no InfluxDB is named", hint="Name it with --influx-url")
    folder = named_run(arguments)
    sink = InfluxClient(settings, now_s=time.time)
    try:
        delivery = Delivery(sink, _pause_until(StopFlag.install()), refused_pause_s=settings.influx_retry)
        ledger = write_run(folder, delivery)
    except _InterruptedError:
        return ExitCode.INTERRUPTED
    finally:
        sink.close()
    if folder.is_closed:
        with folder.lock():
            set_influx_ledger(folder, ledger)
    say(f"run {folder.run}: {ledger['stored']} requests stored, {ledger['rejected']} rejected")
    return ExitCode.PASS


def _pause_until(stop: StopFlag) -> Callable[[float], None]:
    """A sleep in seconds that raises `_InterruptedError` as soon as the process is asked to stop."""

    def pause(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not stop() and time.monotonic() < until_s:
            time.sleep(_LOOK_EVERY_S)
        if stop():
            raise _InterruptedError

    return pause


INFLUX: Final = Verb(
    name="influx",
    help="Write an archived run to InfluxDB.",
    actions=(
        Verb(
            name="backfill",
            help="Write every request of a run to InfluxDB, from its journal.",
            notes="Running it again changes nothing. It waits while InfluxDB is unavailable; Ctrl-C stops it.",
            configure=_configure_backfill,
            execute=_backfill,
        ),
    ),
)
