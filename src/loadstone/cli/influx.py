"""``loadstone influx``: write an archived run, or the trials of a study, to InfluxDB."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.archive.finalize.closing import set_influx_ledger
from loadstone.capacity.influx_points import study_lines
from loadstone.capacity.study import resolve_study
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
from loadstone.influx.answer import WriteOutcome, is_beyond_retention
from loadstone.influx.backfill import write_run
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery, Outage
from loadstone.influx.trouble import FirstRejected, cure_of_refusal
from loadstone.settings import InfluxSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from loadstone.archive.run_record import InfluxLedgerRecord
    from loadstone.influx.answer import WriteAnswer

__all__ = ["INFLUX"]

_LOOK_EVERY_S: Final = 0.05
_MOST_REFUSALS: Final = 3
_REFUSED_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 60.0
_RAISE_RETENTION: Final = "Raise the retention of the bucket (INFLUX_RETENTION in the stack), and run this again"


class _InterruptedError(Exception):
    """The user stopped waiting for InfluxDB."""


class _Patience:
    """Ends writing that gets nowhere: at the third refusal, or when InfluxDB took nothing for a minute.

    ``what`` is written: "the run".
    """

    def __init__(self, url: str, what: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._url, self._what = url, what
        self._now_s = now_s
        self._since_s: float | None = None
        self._refusals = 0

    def failed(self, answer: WriteAnswer) -> None:
        """Raises `UsageError` or `PlatformError` when it is enough."""
        self._since_s = self._now_s() if self._since_s is None else self._since_s
        cure = f"{cure_of_refusal(answer.status)}, and run this again: what is written already stays"
        self._refusals += answer.outcome is WriteOutcome.REFUSED
        if self._refusals >= _MOST_REFUSALS:
            raise UsageError(f"InfluxDB at {self._url} refuses {self._what}: {answer.reason}", hint=cure)
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
    settings = _named_influx(arguments)
    folder = named_run(arguments)
    try:
        with _delivery(settings, "the run") as delivery:
            ledger = write_run(folder, delivery, warn)
    except _InterruptedError:
        return ExitCode.INTERRUPTED
    if folder.is_closed:
        with folder.lock():
            set_influx_ledger(folder, ledger)
    return _tell(folder.run, ledger)


def _named_influx(arguments: argparse.Namespace) -> InfluxSettings:
    settings = settings_from(InfluxSettings, arguments)
    if settings.influx_url is None:
        raise UsageError("no InfluxDB is named", hint="Name it with --influx-url")
    return settings


@contextmanager
def _delivery(settings: InfluxSettings, what: str) -> Iterator[Delivery]:
    """A delivery to that InfluxDB, which gives up as `_Patience` says, or with `_InterruptedError`."""
    sink = InfluxClient(settings, now_s=time.time)
    try:
        pause, patience = _pause_until(StopFlag.install()), _Patience(settings.influx_url or "", what)
        refused_pause_s = min(_REFUSED_PAUSE_S, settings.influx_retry)
        yield Delivery(sink, pause, refused_pause_s=refused_pause_s, outage=Outage(patience))
    finally:
        sink.close()


def _configure_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY", help="study id, a unique prefix of one, or `latest`")
    add_results(parser)
    add_options(parser, InfluxSettings)


def _study(arguments: argparse.Namespace, _rest: tuple[str, ...]) -> int:
    """Write the points of one study."""
    settings, results = _named_influx(arguments), Path(arguments.results)
    study = resolve_study(results, arguments.study).read()
    lines = study_lines(study, results)
    try:
        with _delivery(settings, "the study") as delivery:
            rejected = delivery.deliver(lines)
    except _InterruptedError:
        return ExitCode.INTERRUPTED
    say(f"study {study.id}: {len(lines) - len(rejected)} of {len(lines)} points stored")
    if not rejected:
        return ExitCode.PASS
    first = FirstRejected.of(rejected[0].reason, lines[rejected[0].at], time.time_ns())
    is_old = is_beyond_retention(first.reason)
    return _tell_rejected(f"{first.reason}. {_RAISE_RETENTION}" if is_old else first.told, first.line)


def _tell_rejected(reason: str | None, line: str | None) -> int:
    warn(f"InfluxDB rejected them: {reason}. The first line: {line}")
    return ExitCode.FAIL


def _tell(run: str, ledger: InfluxLedgerRecord) -> int:
    more = f", and {ledger.points_rejected} other points" if ledger.points_rejected else ""
    say(f"run {run}: {ledger.stored} requests stored, {ledger.rejected} rejected{more}")
    if not (ledger.rejected or ledger.points_rejected):
        return ExitCode.PASS
    return _tell_rejected(ledger.rejected_reason, ledger.first_rejected)


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
    help="Write an archived run, or the trials of a study, to InfluxDB.",
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
        Verb(
            name="study",
            help="Write the trials and the answer of a study to InfluxDB, for the board Capacity study.",
            notes="Its runs are written one by one, with `backfill`. Running it again changes nothing. The exit codes"
            " are those of `backfill`.",
            configure=_configure_study,
            execute=_study,
        ),
    ),
)
