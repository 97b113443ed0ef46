"""Verifying run folders: every file against its digest, its own checksums, and the counts in run.json.

Runs that version 0.1 closed have no digests. Their files are read whole and counted, so damage is not noticed where it
leaves a file readable and its counts as they were.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.digests import problem_with, problem_with_report
from loadstone.archive.finalize.first_pass import first_pass
from loadstone.archive.finalize.not_less import less_than_archived
from loadstone.archive.journal.reader import JournalReader, numbered_segments, problem_with_segment
from loadstone.errors import ArchiveError, UnreadableRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.run_record import RunRecord

__all__ = ["FileCheck", "RunCheck", "verify_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """One file of a run folder: its length (None if it is missing) and what is wrong with it, empty if nothing is."""

    name: str
    bytes: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheck:
    """Every file of a run folder, and what could not be checked, or need not be there.

    ``has_digests``: files without a problem are whole; without digests they are readable, and no more is known.
    """

    folder: RunFolder
    has_digests: bool
    files: tuple[FileCheck, ...]
    notes: tuple[str, ...]

    @property
    def damaged(self) -> list[FileCheck]:
        """The files with which something is wrong."""
        return [each for each in self.files if each.problem]

    @property
    def cures(self) -> list[str]:
        """What can be done about the damage."""
        damaged = {each.name for each in self.damaged}
        report, journal = self.folder.report.name, f"{self.folder.journal.name}/"
        cures = []
        if any(name.startswith(journal) for name in damaged):
            cures.append(
                f"Take the journal from a copy of the run; `{self.folder.command('recover', '--salvage')}` "
                "writes what it still holds to a folder of its own"
            )
        if any(name != report and not name.startswith(journal) for name in damaged):
            cures.append(self.folder.cure)
        if damaged == {report}:
            cures.append(f"Write the report again with `{self.folder.command('report')}`")
        return cures


def verify_run(folder: RunFolder) -> RunCheck:
    """Check every file of a run folder. Reads all of them, and changes none."""
    if not folder.is_closed and not any(path.exists() for path in folder.built):
        return _checked(folder, {}, None, ["not closed: there is nothing but its journal to check"])
    try:
        run = ClosedRun.open(folder)
    except ArchiveError as error:
        problem = _words(error, folder.run_json)
        return _checked(
            folder, {folder.run_json.name: problem}, None, ["without run.json no other file can be checked"]
        )
    return _checked(folder, _problems(run), run.record, list(_notes(run)))


def _checked(folder: RunFolder, found: dict[str, str], record: RunRecord | None, notes: list[str]) -> RunCheck:
    found = found | _problems_of_journal(folder, record)
    return RunCheck(
        folder=folder,
        has_digests=record is None or bool(record.files),
        files=tuple(FileCheck(name=name, bytes=_length(folder.path / name), problem=found[name]) for name in found),
        notes=tuple(notes),
    )


def _problems(run: ClosedRun) -> dict[str, str]:
    folder = run.folder
    found = {folder.run_json.name: ""}
    for path, check in _checks(run).items():
        found[path.name] = _outcome(path, check)
    if folder.report.exists() or run.record.files:
        found[folder.report.name] = problem_with_report(folder.report, run.record)
    return found


def _notes(run: ClosedRun) -> Iterator[str]:
    folder, record = run.folder, run.record
    if record.id != folder.run:
        yield f"this is run {record.id} under another name"
    if not record.files:
        writer = record.versions.get("loadstone", "0.1")
        yield f"no digests: written by version {writer}; its files could be read and counted, no more"
    if not folder.journal.is_dir():
        yield "no journal: damaged files cannot be built again"
    elif any(_has_grown(folder, name, expected.bytes) for name, expected in record.files.items()):
        yield f"its journal has grown; `{folder.command('recover')}` closes the run again with what is new"


def _has_grown(folder: RunFolder, name: str, length: int) -> bool:
    return (_length(folder.path / name) or 0) > length


def _checks(run: ClosedRun) -> dict[Path, Callable[[], str]]:
    """For each file, what finds out more than its digest does: it returns a problem, or raises `UnreadableRunError`."""
    record, folder, contents = run.record, run.folder, run.record.contents
    events, rows = (contents.events, contents.usage_rows) if contents else (None, None)
    return {
        folder.requests: lambda: _unlike(_rows(run), record.ledgers.archive.stored, "requests"),
        folder.rollups: lambda: _unlike(_sum(run), record.requests, "requests"),
        folder.usage: lambda: _unlike(run.usage().read().num_rows, rows, "rows"),
        folder.events: lambda: _unlike(sum(1 for _ in run.events()), events, "events"),
        folder.stats_csv: lambda: _csv(run, folder.stats_csv),
        folder.stats_history_csv: lambda: _csv(run, folder.stats_history_csv),
        folder.failures_csv: lambda: _unlike(
            sum(each.occurrences for each in run.failures()), record.failures, "failures"
        ),
        folder.exceptions_csv: lambda: _csv(run, folder.exceptions_csv),
    }


def _outcome(path: Path, check: Callable[[], str]) -> str:
    try:
        return check()
    except UnreadableRunError as error:
        return _words(error, path)


def _words(error: ArchiveError, path: Path) -> str:
    return error.message.removeprefix(f"{path} ")


def _unlike(found: int, expected: int | None, what: str) -> str:
    return "" if expected in {None, found} else f"holds {found:,} {what} where run.json tells {expected:,}"


def _rows(run: ClosedRun) -> int:
    return sum(batch.num_rows for batch in run.requests().batches())


def _sum(run: ClosedRun) -> int:
    return sum(np.asarray(batch.column("n"), np.int64).sum().item() for batch in run.rollups().batches(["n"]))


def _csv(run: ClosedRun, path: Path) -> str:
    try:
        with run.file(path).open(newline="", encoding="utf-8") as file:
            widths = {len(row) for row in csv.reader(file, strict=True)}
    except (OSError, ValueError, csv.Error) as error:
        return f"cannot be read: {error}"
    return "" if len(widths) == 1 else "has rows of different lengths" if widths else "is empty"


def _problems_of_journal(folder: RunFolder, record: RunRecord | None) -> dict[str, str]:
    """Segments against their digests, and newer ones, or all of a run without digests, by their own checksums."""
    if not folder.journal.is_dir():
        return {}
    prefix = f"{folder.journal.name}/"
    known = {name: each for name, each in (record.files if record else {}).items() if name.startswith(prefix)}
    paths = numbered_segments(folder.journal)
    found = {name: problem_with(folder.path / name, known[name], may_grow=name == max(known)) for name in known}
    for path in paths:
        name = prefix + path.name
        is_new = name not in known or _has_grown(folder, name, known[name].bytes)
        if is_new and not found.get(name):
            found[name] = problem_with_segment(path, is_last=path == paths[-1])
    if record and not known and not any(found.values()):
        less = less_than_archived(folder, record, first_pass(JournalReader(folder.journal), Path(os.devnull)))
        found[prefix] = f"yields {', '.join(less)}" if less else ""
    return dict(sorted(found.items()))


def _length(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
