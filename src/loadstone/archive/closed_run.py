"""ClosedRun: the only reader of a closed run's folder. Also which runs a results folder holds, and which one is named.

Everything that other packages need from a run folder comes from here as typed records, tables or events; no other
package knows how the files are laid out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

from loadstone.archive.digests import problem_with, problem_with_report
from loadstone.archive.events_file import decode_event_line
from loadstone.archive.folder import RunFolder
from loadstone.archive.plain_file import check_plain_file, unreadable
from loadstone.archive.run_json import read_record
from loadstone.archive.run_table import BATCH_ROWS, DAMAGE, RunTable
from loadstone.archive.slowest import slowest_requests
from loadstone.domain.request_name import RequestName
from loadstone.domain.time import parse_iso_ns
from loadstone.errors import UnreadableRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from loadstone.archive.run_record import RunRecord
    from loadstone.archive.slowest import SlowRequest
    from loadstone.domain.event import Event

__all__ = ["BATCH_ROWS", "LATEST", "ClosedRun", "FailureRow", "RunTable", "list_runs", "resolve_run"]

LATEST: Final = "latest"
_SHOWN: Final = 10
_LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes of one event; escaped, it may have eight times as many as it had when it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """One error text of one request name. Times are ISO 8601, UTC, to the second."""

    name: RequestName
    error: str
    occurrences: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """A closed run: its folder, and its run.json as typed records. Open one with `ClosedRun.open`.

    Every file is compared with its digest before it is read for the first time; `UnreadableRunError` is raised for one
    that is not what it was when the run was closed. Runs that version 0.1 closed have no digests.
    """

    folder: RunFolder
    record: RunRecord
    _whole: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def open(cls, folder: RunFolder) -> ClosedRun:
        """Read a run's run.json.

        Raises `UnreadableRunError` when it is not closed, or its run.json is damaged, of another run, or of a format
        not known here.
        """
        record = read_record(folder)
        if record.id != folder.run and (stranger := _stranger(folder, record)):
            raise UnreadableRunError(
                f"{folder.run_json} is that of run {record.id}: {stranger}, where that run's had another length",
                hint=folder.cure,
            )
        return cls(folder, record)

    def file(self, path: Path) -> Path:
        """The path of a file of this run, once it is known to be whole. Raises `UnreadableRunError`."""
        if path.name not in self._whole:
            if problem := self.problem_with(path):
                raise self._damaged(path, problem)
            self._whole.add(path.name)
        return path

    @property
    def short_files(self) -> tuple[Path, ...]:
        """run.json, report.html and stats.csv, as far as they are there: what can be kept elsewhere too."""
        folder = self.folder
        return tuple(path for path in (folder.run_json, folder.report, folder.stats_csv) if path.is_file())

    def problem_with(self, path: Path) -> str:
        """In which way a file of this run is not what it was; empty if it is, or if nobody can know."""
        if path == self.folder.report:
            return problem_with_report(path, self.record)
        expected = self.record.files.get(path.name)
        return problem_with(path, expected) if expected else ""

    def check_journal(self) -> None:
        """Raise `UnreadableRunError` when the journal lacks, or has other, bytes than when the run was closed."""
        prefix = f"{self.folder.journal.name}/"
        segments = {name: each for name, each in self.record.files.items() if name.startswith(prefix)}
        for name, expected in segments.items():
            if problem := problem_with(self.folder.path / name, expected, may_grow=name == max(segments)):
                raise UnreadableRunError(
                    f"journal segment {self.folder.path / name} {problem}",
                    hint="Take it from a copy of the run: its archive holds what the segment has lost",
                )

    def _damaged(self, path: Path, problem: str) -> UnreadableRunError:
        if not self.folder.is_closed or read_record(self.folder).files != self.record.files:
            return UnreadableRunError(f"run {self.folder.run} was closed again while it was read", hint="Try again")
        if path == self.folder.report:
            cure = f"Write it again with `{self.folder.command('report')}`"
            return UnreadableRunError(f"{path} {problem}", hint=cure)
        return UnreadableRunError(f"{path} {problem}", hint=self.folder.cure)

    def requests(self) -> RunTable:
        """Every request, in the order of arrival. May have any number of rows: read it in batches."""
        return self._table(self.folder.requests)

    def slowest(self, count: int) -> list[SlowRequest]:
        """The requests with the longest response times, the slowest first. Reads only row groups that may have one."""
        requests = self.requests()
        try:
            return slowest_requests(requests, count)
        except DAMAGE as error:
            raise unreadable(requests.path, error, self.folder.cure) from error

    def failed(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of every request that failed, in the order of arrival, as tables of some rows each."""
        requests = self.requests()
        for group in requests.groups_without("ok", value=True):
            table = requests.group(group, [*columns, "ok"])
            yield table.filter(pc.invert(table["ok"])).select(columns)

    def rollups(self) -> RunTable:
        """Every second of every request name, ascending by second, method and name."""
        return self._table(self.folder.rollups)

    def usage(self) -> RunTable:
        """What every container or process used at every tick."""
        return self._table(self.folder.usage)

    def events(self) -> Iterator[Event]:
        """Every event, in the order of arrival. Raises `UnreadableRunError` when they are missing or damaged."""
        path = self.file(self.folder.events)
        try:
            check_plain_file(path, self.folder.cure)
            with path.open("rb") as lines:
                while line := lines.readline(_LONGEST_LINE):
                    yield decode_event_line(line, self.record.id)
        except (OSError, ValueError, RecursionError) as error:
            raise unreadable(path, error, self.folder.cure) from error

    def failures(self) -> Iterator[FailureRow]:
        """Every error text of every request name. Raises `UnreadableRunError` when they are missing or damaged."""
        path = self.file(self.folder.failures_csv)
        try:
            check_plain_file(path, self.folder.cure)
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    yield _failure(row)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise unreadable(path, error, self.folder.cure) from error

    def _table(self, path: Path) -> RunTable:
        return RunTable(self.file(path), self.folder.cure)


def _stranger(folder: RunFolder, record: RunRecord) -> str:
    """A file that is not as long as the record says, in a folder that is not called as its run; empty without any.

    A folder that was renamed, or copied under another name, has none.
    """
    for name, expected in record.files.items():
        path = folder.path / name
        if path.is_file() and path.parent == folder.path and path.stat().st_size != expected.bytes:
            return f"{name} has {path.stat().st_size:,} bytes"
    return ""


def _failure(row: dict[str, str]) -> FailureRow:
    return FailureRow(
        name=RequestName(row["Method"], row["Name"]),
        error=row["Error"],
        occurrences=int(row["Occurrences"]),
        first_seen=_moment(row["First Seen"]),
        last_seen=_moment(row["Last Seen"]),
    )


def _moment(text: str) -> str:
    """The text, if it is a moment; raises `ValueError` otherwise."""
    parse_iso_ns(text)
    return text


def list_runs(results: Path) -> list[RunFolder]:
    """Every run folder, closed or not, oldest first; empty when ``results`` does not exist.

    Raises `UsageError` when it may not be read.
    """
    try:
        paths = list(results.iterdir()) if results.is_dir() else []
    except OSError as error:
        raise UsageError(
            f"the results folder {results} cannot be read: {error.strerror or error}", hint="Check its permissions"
        ) from error
    # An id begins with the time of the start, so ids sort by time.
    return sorted((folder for folder in map(RunFolder, paths) if folder.is_run), key=lambda folder: folder.run)


def resolve_run(results: Path, text: str) -> RunFolder:
    """The run that ``text`` names: by its id, a prefix that no other id has, ``latest``, or the path of its folder.

    Raises `UsageError` with the candidates when no run or more than one matches.
    """
    runs = list_runs(results)
    if text == LATEST and runs:
        return runs[-1]
    found = [folder for folder in runs if folder.run == text] or [f for f in runs if text and f.run.startswith(text)]
    if len(found) == 1:
        return found[0]
    direct = RunFolder(Path(text))
    if not found and "/" in text and direct.is_run:
        return direct
    raise _not_resolved(results, text, runs, found)


def _not_resolved(results: Path, text: str, runs: list[RunFolder], found: list[RunFolder]) -> UsageError:
    if found:
        names = ", ".join(folder.run for folder in found[-_SHOWN:])
        return UsageError(f"run {text!r} is ambiguous: {names}", hint="Give more of its id")
    if not runs:
        return UsageError(f"there is no run in {results}", hint="Start one with `loadstone run`, or give --results")
    names = ", ".join(folder.run for folder in runs[-_SHOWN:])
    return UsageError(
        f"there is no run {text!r} in {results}; the newest are {names}", hint=f"`{LATEST}` is the newest"
    )
