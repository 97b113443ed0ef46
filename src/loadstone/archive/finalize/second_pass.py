"""The second pass over a journal: samples and usage, written to tables and counted for the facts of the run."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from loadstone.archive.finalize.arrivals import ArrivalTotals, WindowLateness, expected_until
from loadstone.archive.finalize.blocks import Seconds, blocks
from loadstone.archive.finalize.csv import FailureTable, HistoryCsv, write_exceptions, write_failures, write_stats
from loadstone.archive.finalize.facts import WorkersInWindow, objectives_of
from loadstone.archive.finalize.in_flight import InFlightAtEnd
from loadstone.archive.finalize.pauses import Waiting
from loadstone.archive.finalize.services import ServicesInWindow
from loadstone.archive.finalize.starts import StartsInWindow
from loadstone.archive.finalize.tables import RequestTable, RollupTable, UsageTable
from loadstone.archive.finalize.undisturbed import Undisturbed
from loadstone.archive.folder import temporary_name
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.domain.batch import Batch
from loadstone.domain.event import Event
from loadstone.domain.generator_doubts import lag_limit_ms
from loadstone.domain.ledger import SourceSeqs
from loadstone.domain.request_name import NameTable, RequestName
from loadstone.domain.time import NS_PER_MS, NS_PER_S
from loadstone.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadstone.archive.finalize.first_pass import FirstPass
    from loadstone.archive.folder import RunFolder
    from loadstone.archive.journal.frame import Entry
    from loadstone.domain.facts import ArrivalFacts
    from loadstone.domain.rollup import Rollup
    from loadstone.domain.usage_tick import UsageTick

__all__ = ["SecondPass"]


class SecondPass:
    """Everything that needs samples or usage, now that window and incarnations are known."""

    def __init__(self, folder: RunFolder, found: FirstPass) -> None:
        self.first_pass = found
        self.names = NameTable(found.state.names.limit)
        self.failures = FailureTable()
        window = found.window
        ahead_ms = found.state.lifecycle.clock_offsets.value
        self.workers = WorkersInWindow(window, lag_limit_ms(objectives_of(found)[0]), ahead_ms)
        start_ns = window.start_ns - round((ahead_ms or 0.0) * NS_PER_MS)
        self.arrivals = ArrivalTotals(start_ns, found.state.lifecycle.schedule_ns)
        self.services = ServicesInWindow(window)
        self.undisturbed = Undisturbed(window, found.stalls)
        stop_timeout_s = found.state.lifecycle.identity.stop_timeout_s or 0.0
        self.lateness = WindowLateness(window)
        self.in_flight = InFlightAtEnd(window, stop_timeout_s, self.undisturbed)
        self.silences = Waiting(found.answers.silences(window))
        self.lulls = Waiting(found.answers.lulls(window))
        self.starts = StartsInWindow(window)
        self.seconds = Seconds(window, ())
        self._window = window
        self._folder = folder
        self._seen = SourceSeqs()

    def run(self, journal: Iterable[Entry]) -> None:
        """Read the journal and write every file under its temporary name."""
        folder, open_model = self._folder, self.first_pass.open_model
        with ExitStack() as files:
            requests = files.enter_context(RequestTable(temporary_name(folder.requests), open_model=open_model))
            rollup_path = temporary_name(folder.rollups)
            rollups = files.enter_context(RollupTable(rollup_path, self.names, open_model=open_model))
            usage = files.enter_context(UsageTable(temporary_name(folder.usage)))
            history_path = temporary_name(folder.stats_history_csv)
            history = files.enter_context(
                HistoryCsv.open(history_path, self.names, self._users_at(), open_model=open_model)
            )
            self.seconds = Seconds(self._window, (rollups.write, history.write))
            for block, batches in blocks(self._batches(journal, usage), self.names):
                requests.write(block)
                self.failures.count(block)
                for gathering in (self.seconds, self.undisturbed, self.in_flight, self.silences, self.lulls):
                    gathering.take(block)
                (self.lateness if open_model else self.starts).take(block)
                self.seconds.complete(self.first_pass.watermark_after(batches))
        for waiting in (self.silences, self.lulls):
            waiting.take_cut(self.in_flight.cut, self.names)
        self._write_csv()

    @property
    def arrivals_of_window(self) -> ArrivalFacts | None:
        """None under the closed model."""
        if not self.first_pass.open_model:
            return None
        expected = expected_until(self._window.end_ns, self.first_pass.state.lifecycle, self._window.start_ns)
        return self.lateness.window.facts(self.arrivals.window, expected)

    @property
    def arrivals_of_run(self) -> ArrivalFacts | None:
        """None under the closed model."""
        if not self.first_pass.open_model:
            return None
        expected = expected_until(self._window.end_ns, self.first_pass.state.lifecycle)
        return self.lateness.run.facts(self.arrivals.run, expected)

    def by_name(self, rollups: Mapping[int, Rollup]) -> dict[RequestName, Rollup]:
        """Rollups by request name instead of name id."""
        return {self.names[name_id]: rollup for name_id, rollup in rollups.items()}

    def _write_csv(self) -> None:
        folder, lifecycle = self._folder, self.first_pass.state.lifecycle
        duration_s = max(0, self.first_pass.last_end_ns - self.first_pass.started_ns) / NS_PER_S
        totals, open_model = self.by_name(self.seconds.totals), self.first_pass.open_model
        write_stats(temporary_name(folder.stats_csv), totals, duration_s, open_model=open_model)
        write_failures(temporary_name(folder.failures_csv), self.failures.failures)
        write_exceptions(temporary_name(folder.exceptions_csv), lifecycle.exceptions)

    def _batches(self, journal: Iterable[Entry], usage: UsageTable) -> Iterator[Batch]:
        """Every batch once; usage ticks, which have nothing to do with blocks, are written as they are read."""
        for content in self._contents(journal):
            if isinstance(content, Batch):
                if self._seen.add((EntryKind.SAMPLES, content.incarnation), content.seq):
                    self.workers.take(content)
                    self.arrivals.take(content)
                    self.in_flight.take_cut(content.cut)
                    yield content
            elif self._seen.add((EntryKind.USAGE, content.source), content.seq):
                self.services.take(content)
                usage.write(content)

    @staticmethod
    def _contents(journal: Iterable[Entry]) -> Iterator[Batch | UsageTick]:
        for entry in journal:
            if entry.kind is not EntryKind.EVENTS:  # the first pass has read them
                with suppress(FormatError):  # the first pass has counted it
                    content = decode_entry(entry.kind, entry.blob)
                    if not isinstance(content, Event):
                        yield content

    def _users_at(self) -> _Users:
        return _Users(self.first_pass.users)


class _Users:
    """How many users ran in a second: the newest number reported up to then. Call it with ascending seconds."""

    def __init__(self, users: dict[int, int]) -> None:
        self._reported = sorted(users.items())
        self._at = 0
        self._users = 0

    def __call__(self, second: int) -> int:
        while self._at < len(self._reported) and self._reported[self._at][0] <= second:
            self._users = self._reported[self._at][1]
            self._at += 1
        return self._users
