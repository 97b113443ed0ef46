"""``loadstone influx backfill RUN``: write an archived run to InfluxDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from loadstone.archive.finalize.closing import set_influx_ledger
from loadstone.cli.common import (
    StopFlag,
    Verb,
    add_options,
    add_results,
    add_run,
    named_run,
    say,
    settings_from,
    warn,
)
from loadstone.errors import ExitCode, PlatformError, UsageError
from loadstone.influx.answer import WriteOutcome
from loadstone.influx.backfill import write_run
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery, Outage
from loadstone.influx.trouble import cure_of_refusal
from loadstone.settings import InfluxSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from loadstone.archive.run_record import InfluxLedgerRecord
    from loadstone.influx.answer import WriteAnswer

__all__ = ["INFLUX"]

_LOOK_EVERY_S: Final = 0.05
_MOST_REFUSALS: Final = 3
_REFUSED_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 60.0


class _InterruptedError(Exception):
    """The user stopped waiting for InfluxDB."""


class _Patience:
    """Ends a backfill that gets nowhere: at the third refusal, or when InfluxDB took nothing for a minute."""

    def __init__(self, url: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._now_s = now_s
        self._since_s: float | None = None
        self._refusals = 0

    def failed(self, answer: WriteAnswer) -> None:
        """Raises `UsageError` or `PlatformError` when it is enough."""
        self._since_s = self._now_s() if self._since_s is None else self._since_s
        cure = f"{cure_of_refusal(answer.status)}, and run this again: what is written already stays"
        self._refusals += answer.outcome is WriteOutcome.REFUSED
        if self._refusals >= _MOST_REFUSALS:
            raise UsageError(f"InfluxDB at {self._url} refuses the run: {answer.reason}", hint=cure)
        if self._now_s() + (answer.retry_after_s or 0) - self._since_s >= _PATIENCE_S:
            raise PlatformError(
                f"InfluxDB at {self._url} has written nothing for {_PATIENCE_S:.0f} s: {answer.reason}", hint=cure
            )

    def over(self) -> None:
        """It goes on."""
        self._since_s, self._refusals = None, 0


def _configure_backfill(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_results(parser)
    add_options(parser, InfluxSettings)


def _backfill(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write one run and update its ledger."""
    settings = settings_from(InfluxSettings, arguments)
    if settings.influx_url is None:
        raise UsageError("no InfluxDB is named", hint="Name it with --influx-url")
    folder = named_run(arguments)
    sink = InfluxClient(settings, now_s=time.time)
    try:
        pause, patience = _pause_until(StopFlag.install()), _Patience(settings.influx_url)
        delivery = Delivery(
            sink, pause, refused_pause_s=min(_REFUSED_PAUSE_S, settings.influx_retry), outage=Outage(patience)
        )
        ledger = write_run(folder, delivery, warn)
    except _InterruptedError:
        return ExitCode.INTERRUPTED
    finally:
        sink.close()
    if folder.is_closed:
        with folder.lock():
            set_influx_ledger(folder, ledger)
    return _tell(folder.run, ledger)


def _tell(run: str, ledger: InfluxLedgerRecord) -> int:
    more = f", and {ledger.points_rejected} other points" if ledger.points_rejected else ""
    say(f"run {run}: {ledger.stored} requests stored, {ledger.rejected} rejected{more}")
    if not (ledger.rejected or ledger.points_rejected):
        return ExitCode.PASS
    warn(f"InfluxDB rejected them: {ledger.rejected_reason}. The first line: {ledger.first_rejected}")
    return ExitCode.FAIL


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
            notes="Running it again changes nothing. Exit code 1: InfluxDB rejected some lines, and the first one is "
            "shown with the reason; 2: it refuses the token, the bucket or the whole run; 4: it took nothing for a "
            "minute.",
            configure=_configure_backfill,
            execute=_backfill,
        ),
    ),
)
