"""Closing a run: from its journal to Parquet, CSV and run.json.

The journal is read twice: once for events and incarnations (`loadstone.archive.finalize.first_pass`), once for samples,
which are rolled up, counted and written in blocks. Memory is bounded by a block, the open seconds and one integer per
batch. Nothing but the journal decides what is written, so closing a run again gives the same files. Each file is
complete under a temporary name before any of them gets its own, and run.json comes last: a run that has one is closed.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from loadstone.archive.finalize.blocks import Seconds, blocks
from loadstone.archive.finalize.csv import FailureTable, HistoryCsv, write_exceptions, write_failures, write_stats
from loadstone.archive.finalize.document import Closing, run_record, run_times, verdict_of
from loadstone.archive.finalize.facts import ServicesInWindow, WorkersInWindow, facts_of, objectives_of
from loadstone.archive.finalize.first_pass import FirstPass, first_pass
from loadstone.archive.finalize.tables import RequestTable, RollupTable, UsageTable
from loadstone.archive.folder import RunFolder, publish, temporary_name
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.segments import JournalReader
from loadstone.archive.run_json import read_record, write_record
from loadstone.archive.run_record import InfluxLedgerRecord, RunRecord
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import decode_usage
from loadstone.domain.ledger import SeqTracker
from loadstone.domain.request_name import NameTable, RequestName
from loadstone.domain.time import parse_iso_ns
from loadstone.domain.verdict import judge
from loadstone.errors import ArchiveError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadstone.domain.batch import Batch
    from loadstone.domain.event import UsageTick
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.verdict import Verdict

__all__ = ["RunResult", "close_run", "recover_run", "set_influx_ledger"]

_NS: Final = 1_000_000_000
_LONGEST_SILENCE_NS: Final = 30 * _NS
"""An incarnation that nobody reported lost is assumed to have lived at most this long after its run's last sign."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A closed run: its folder, its run.json, and its verdict."""

    folder: RunFolder
    record: RunRecord
    verdict: Verdict


def close_run(folder: RunFolder, *, now_ns: int | None, keep_journal: bool = True, salvage: bool = False) -> RunResult:
    """Build every file of a run folder from its journal. Hold the folder's lock meanwhile.

    ``now_ns`` (None: the last sign of life that the run left) is recorded as the time of closing, unless the run was
    closed before: then everything comes out as it was. ``salvage`` leaves out what of the journal is damaged. A run
    that was closed without keeping its journal is only read. Raises `ArchiveError` when the journal is damaged or
    missing, or the files cannot be written.
    """
    known = _known(folder)
    if not folder.journal.is_dir():
        if known is None:
            raise ArchiveError(
                f"{folder.path} holds no journal and no run.json", hint="Give the folder of a run that was recorded"
            )
        return RunResult(folder, known, verdict_of(known))
    with _told(folder):
        record = _build(folder, known, now_ns, salvage=salvage)
        if not keep_journal:
            shutil.rmtree(folder.journal)
    return RunResult(folder, record, verdict_of(record))


def recover_run(folder: RunFolder, *, now_ns: int | None = None, salvage: bool = False) -> RunResult:
    """Close a run after a power cut, or when nobody was there to close it; a closed run comes out as it was.

    The arguments are those of `close_run`. Raises `ArchiveError` as that does, and when another process has the folder.
    """
    if not folder.path.is_dir():
        raise ArchiveError(f"there is no run folder {folder.path}")
    with folder.lock():
        return close_run(folder, now_ns=now_ns, salvage=salvage)


def set_influx_ledger(folder: RunFolder, ledger: Mapping[str, int]) -> None:
    """Update InfluxDB's ledger in run.json: ``stored``, ``rejected``, ``pending``. Hold the folder's lock."""
    record = read_record(folder)
    influx = msgspec.convert(ledger, InfluxLedgerRecord)
    write_record(folder, replace(record, ledgers=replace(record.ledgers, influx=influx)))


def _known(folder: RunFolder) -> RunRecord | None:
    """The content of run.json, None without one."""
    return read_record(folder) if folder.is_closed else None


@contextmanager
def _told(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"cannot write the files of run {folder.run}: {error.strerror or error}",
            hint=f"Make room in {folder.path} and run `loadstone recover {folder.run}`; its journal is untouched",
        ) from error


def _build(folder: RunFolder, known: RunRecord | None, now_ns: int | None, *, salvage: bool) -> RunRecord:
    journal = JournalReader(folder.journal, salvage=salvage)
    found = first_pass(journal, temporary_name(folder.events))
    passed = _SecondPass(folder, found)
    passed.run(journal)
    for target in passed.targets:
        publish(temporary_name(target), target)
    closing = _closing(folder, passed, known, now_ns or found.state.newest_ns, tuple(journal.damage))
    record = run_record(closing)
    write_record(folder, record)
    return record


def _closing(
    folder: RunFolder, passed: _SecondPass, known: RunRecord | None, now_ns: int, damage: tuple[str, ...]
) -> Closing:
    closed_at_ns = parse_iso_ns(known.closed_at) if known else now_ns
    found = passed.first_pass
    bound_ns = _bound_ns(found, closed_at_ns)
    facts = facts_of(
        found,
        names=passed.by_name(passed.seconds.window_totals),
        usage=passed.services.facts(),
        workers=passed.workers.facts(),
        names_capped=passed.names.capped,
        bound_ns=bound_ns,
        damage=damage,
    )
    objectives, problems = objectives_of(found)
    return Closing(
        run=folder.run,
        first_pass=found,
        facts=facts,
        verdict=judge(objectives, facts, problems),
        totals=passed.by_name(passed.seconds.totals),
        closed_at_ns=closed_at_ns,
        bound_ns=bound_ns,
        influx=known.ledgers.influx if known else None,
    )


def _bound_ns(found: FirstPass, closed_at_ns: int) -> int:
    """Until when an incarnation that nobody missed may have gone on: the stop, the closing, or the longest silence.

    A run that is closed as of its own last sign of life was closed by nobody: its incarnations may have outlived that
    sign.
    """
    newest_ns = found.state.newest_ns
    if found.state.lifecycle.stopped_ns:
        return found.state.lifecycle.stopped_ns
    longest_ns = newest_ns + _LONGEST_SILENCE_NS
    return min(closed_at_ns, longest_ns) if closed_at_ns > newest_ns else longest_ns


class _SecondPass:
    """Everything that needs samples or usage, now that window and incarnations are known."""

    def __init__(self, folder: RunFolder, found: FirstPass) -> None:
        self.first_pass = found
        self.names = NameTable(found.state.names.limit)
        self.failures = FailureTable()
        window = found.state.lifecycle.window(found.first_start_ns, found.last_end_ns)
        self.workers = WorkersInWindow(window)
        self.services = ServicesInWindow(window)
        self.seconds = Seconds(window, ())
        self._window = window
        self._folder = folder
        self._seen: dict[tuple[EntryKind, str], SeqTracker] = {}

    @property
    def targets(self) -> list[Path]:
        """Every file but run.json."""
        folder = self._folder
        tables = [folder.requests, folder.rollups, folder.usage, folder.events]
        return [*tables, folder.stats_csv, folder.stats_history_csv, folder.failures_csv, folder.exceptions_csv]

    def run(self, journal: JournalReader) -> None:
        """Read the journal and write every file under its temporary name."""
        folder = self._folder
        with ExitStack() as files:
            requests = files.enter_context(RequestTable(temporary_name(folder.requests)))
            rollups = files.enter_context(RollupTable(temporary_name(folder.rollups), self.names))
            usage = files.enter_context(UsageTable(temporary_name(folder.usage)))
            history_path = temporary_name(folder.stats_history_csv)
            history = files.enter_context(HistoryCsv.open(history_path, self.names, self._users_at()))
            self.seconds = Seconds(self._window, (rollups.write, history.write))
            for block, batches in blocks(self._batches(journal, usage), self.names):
                requests.write(block)
                self.failures.count(block)
                self.seconds.take(block)
                self.seconds.complete(self.first_pass.watermark_after(batches))
        self._write_csv()

    def by_name(self, rollups: dict[int, Rollup]) -> dict[RequestName, Rollup]:
        """Rollups by (method, name) instead of name id."""
        return {self.names[name_id]: rollup for name_id, rollup in rollups.items()}

    def _write_csv(self) -> None:
        folder, lifecycle = self._folder, self.first_pass.state.lifecycle
        started_ns, _ = run_times(self.first_pass)
        duration_s = max(0, self.first_pass.last_end_ns - started_ns) / _NS
        write_stats(temporary_name(folder.stats_csv), self.by_name(self.seconds.totals), duration_s)
        write_failures(temporary_name(folder.failures_csv), self.failures.failures)
        write_exceptions(temporary_name(folder.exceptions_csv), lifecycle.exceptions)

    def _batches(self, journal: JournalReader, usage: UsageTable) -> Iterator[Batch]:
        for entry in journal:
            try:
                if entry.kind is EntryKind.SAMPLES:
                    batch = decode_batch(entry.blob)
                    if self._is_new(entry.kind, batch.incarnation, batch.seq):
                        self.workers.take(batch)
                        yield batch
                elif entry.kind is EntryKind.USAGE:
                    self._take_usage(decode_usage(entry.blob), usage)
            except FormatError:
                continue  # the first pass has counted it

    def _take_usage(self, tick: UsageTick, usage: UsageTable) -> None:
        if self._is_new(EntryKind.USAGE, tick.source, tick.seq):
            self.services.take(tick)
            usage.write(tick)

    def _is_new(self, kind: EntryKind, source: str, seq: int) -> bool:
        return self._seen.setdefault((kind, source), SeqTracker()).add(seq)

    def _users_at(self) -> _Users:
        return _Users(self.first_pass.users)


class _Users:
    """How many users ran in a second: what was said last up to then. Asked in ascending order."""

    def __init__(self, users: dict[int, int]) -> None:
        self._said = sorted(users.items())
        self._at = 0
        self._users = 0

    def __call__(self, second: int) -> int:
        while self._at < len(self._said) and self._said[self._at][0] <= second:
            self._users = self._said[self._at][1]
            self._at += 1
        return self._users
