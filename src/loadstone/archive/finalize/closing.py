"""Closing a run: from its journal to Parquet, CSV and run.json.

The journal is read twice: first for events and incarnations (`first_pass`), then for samples, which are rolled up,
counted and written in blocks (`second_pass`). Memory is bounded by a block, the open seconds and one integer per batch.
What is written depends on nothing but the journal, so closing a run again gives the same files, and never less than the
archive holds: that is refused (`refuse_less`).

Each file is complete under a temporary name before any of them gets its own. While they do, the folder has no run.json:
a run that has one is closed, and its run.json tells the digests of the files that it was written with.
"""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.digests import digest_of
from loadstone.archive.finalize.document import Closing, run_record, verdict_of
from loadstone.archive.finalize.facts import facts_of, objectives_of
from loadstone.archive.finalize.first_pass import FirstPass, first_pass
from loadstone.archive.finalize.losses import note_losses
from loadstone.archive.finalize.not_less import less_than_archived, refuse_less
from loadstone.archive.finalize.second_pass import SecondPass
from loadstone.archive.finalize.target import target_facts
from loadstone.archive.folder import RunFolder, sync_file, sync_folder, temporary_name
from loadstone.archive.journal.reader import JournalReader, SalvageReader
from loadstone.archive.run_json import (
    decode_record,
    encode_record,
    is_of_other_format,
    read_record,
    read_text,
    write_record,
)
from loadstone.archive.storage import reason_and_cure
from loadstone.domain.time import NS_PER_S, parse_iso_ns
from loadstone.domain.verdict import judge
from loadstone.errors import ArchiveError, UnreadableRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadstone.archive.integrity import FileDigest, SalvageRecord
    from loadstone.archive.journal.frame import Entry
    from loadstone.archive.run_record import InfluxLedgerRecord, RunRecord
    from loadstone.domain.verdict import Verdict

__all__ = ["RunResult", "close_run", "recover_run", "salvage_run", "set_influx_ledger"]

_LONGEST_SILENCE_NS: Final = 30 * NS_PER_S
"""How long an incarnation that was not reported lost may have outlived the newest time in the journal, at most."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A closed run: its folder, its run.json, and its verdict."""

    folder: RunFolder
    record: RunRecord
    verdict: Verdict


def close_run(folder: RunFolder, *, now_ns: int | None) -> RunResult:
    """Build every file of a run folder from its journal. The caller holds the folder's lock.

    ``now_ns`` (None: the newest time in the journal) is recorded as the time of closing, unless the run was closed
    before: closing it again gives the same files. A closed run that was passed on without its journal is only read.

    Raises `UnreadableRunError`, and nothing was changed then, when the journal is damaged, when it yields less than the
    archive holds, or when a file is damaged and there is no journal. Raises `ArchiveError` when the files cannot be
    written: the run is what it was before, or not closed.
    """
    known = _known(folder)
    if not folder.journal.is_dir():
        return _passed_on(folder)
    with _as_archive_error(folder), _temporary_files(folder):
        journal = JournalReader(folder.journal)
        found = first_pass(journal, temporary_name(folder.events))
        refuse_less(folder, known, found)
        closed_at_ns = parse_iso_ns(known.closed_at) if known else now_ns or found.state.newest_ns
        record = run_record(_closing(folder, found, journal, closed_at_ns, known))
        return _write(folder, record, {f"{folder.journal.name}/{name}": each for name, each in journal.digests.items()})


def recover_run(folder: RunFolder, *, now_ns: int | None = None) -> RunResult:
    """Close a run that was left open, as by a power cut; closing a closed run again gives the same files.

    Takes the arguments of `close_run`, and locks the folder. Raises as that does, and `ArchiveError` when another
    process holds the folder.
    """
    with _locked(folder):
        return close_run(folder, now_ns=now_ns)


def salvage_run(folder: RunFolder) -> RunResult:
    """Close all that is left of a run with a damaged journal, in a new folder beside it, without a journal.

    The run itself stays as it is. What is missing is in run.json of the new folder (`SalvageRecord`), as `unknown` in
    its ledger, and in its verdict, which is inconclusive. Raises `UsageError` when the run can be recovered as it is,
    `ArchiveError` when there is no journal or the files cannot be written.
    """
    with _locked(folder):
        known = _known(folder)
        if not folder.journal.is_dir():
            raise ArchiveError(f"{folder.path} holds no journal from which to salvage anything", hint=folder.cure)
        if _is_recoverable(folder, known):
            raise UsageError(
                f"the journal of run {folder.run} is whole, so there is nothing to salvage",
                hint=f"`{folder.command('recover')}` closes it",
            )
        with _new_folder(folder) as target, _as_archive_error(target), _temporary_files(target):
            journal = SalvageReader(folder.journal)
            found = first_pass(journal, temporary_name(target.events))
            salvage = note_losses(folder.run, found, known, journal.damage)
            closing = _closing(target, found, journal, found.state.newest_ns, salvage=salvage)
            return _write(target, run_record(closing), {})


def set_influx_ledger(folder: RunFolder, influx: InfluxLedgerRecord) -> None:
    """Update InfluxDB's ledger in run.json. Hold the folder's lock."""
    record = read_record(folder)
    write_record(folder, replace(record, ledgers=replace(record.ledgers, influx=influx)))


@contextmanager
def _as_archive_error(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason, cure = reason_and_cure(folder.path, error)
        raise ArchiveError(
            f"cannot write the files of run {folder.run}: {reason}",
            hint=f"{cure} and run `{folder.command('recover')}`: its journal is intact",
        ) from error


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    if not folder.path.is_dir():
        listing = shlex.join(["loadstone", "runs", "--results", str(folder.path.parent)])
        raise ArchiveError(f"there is no run folder {folder.path}", hint=f"List the runs with `{listing}`")
    with folder.lock():
        yield


@contextmanager
def _temporary_files(folder: RunFolder) -> Iterator[None]:
    """Remove the temporary files of a closing that failed: on a full disk they are in the way."""
    try:
        yield
    finally:
        for target in (*folder.built, folder.run_json):
            temporary_name(target).unlink(missing_ok=True)


@contextmanager
def _new_folder(folder: RunFolder) -> Iterator[RunFolder]:
    """A folder beside a run for what is salvaged of it; it does not stay when that fails."""
    names = (f"{folder.run}-salvaged{f'-{number}' if number > 1 else ''}" for number in count(1))
    target = next(RunFolder(path) for name in names if not (path := folder.path.with_name(name)).exists()).create()
    try:
        with target.lock():
            yield target
    except BaseException:
        shutil.rmtree(target.path, ignore_errors=True)
        raise


def _known(folder: RunFolder) -> RunRecord | None:
    """The run.json of the last closing; None if the run was never closed, or if it is damaged and can be built again.

    Raises `UnreadableRunError` when it is of a newer version, which is not damage.
    """
    try:
        if folder.is_closed:
            return read_record(folder)
        if folder.run_json_before.is_file():  # a later closing was cut short while it replaced the files
            return decode_record(folder.run_json_before.read_bytes(), folder)
    except UnreadableRunError:
        if not folder.journal.is_dir() or (folder.is_closed and is_of_other_format(read_text(folder))):
            raise
    return None


def _passed_on(folder: RunFolder) -> RunResult:
    """A closed run without its journal, once all of its files are known to be whole."""
    if not folder.is_closed:
        raise ArchiveError(f"{folder.path} holds no journal and no run.json", hint="Give the folder of a recorded run")
    run = ClosedRun.open(folder)
    for path in folder.built:
        run.file(path)
    return RunResult(folder, run.record, verdict_of(run.record))


def _is_recoverable(folder: RunFolder, known: RunRecord | None) -> bool:
    try:
        found = first_pass(JournalReader(folder.journal), Path(os.devnull))
    except UnreadableRunError:
        return False
    return not less_than_archived(folder, known, found)


def _write(folder: RunFolder, record: RunRecord, journal: Mapping[str, FileDigest]) -> RunResult:
    """Let the temporary files and a run.json with their digests take the places of those of an earlier closing."""
    for target in (*folder.built, folder.run_json):
        if target.is_dir():
            raise UnreadableRunError(f"{target} is a folder, where a file is to be written", hint="Move it away")
    files = {path.name: digest_of(temporary_name(path)) for path in folder.built}
    text = encode_record(replace(record, files={**files, **journal}))
    temporary_name(folder.run_json).write_bytes(text)
    for path in (*folder.built, folder.run_json):
        sync_file(temporary_name(path))
    if folder.run_json.exists():
        folder.run_json.replace(folder.run_json_before)
        sync_folder(folder.path)
        if folder.run_json_before.read_bytes() != text:
            folder.report.unlink(missing_ok=True)  # it tells of the earlier closing
    for path in folder.built:
        temporary_name(path).replace(path)
    sync_folder(folder.path)
    temporary_name(folder.run_json).replace(folder.run_json)
    sync_folder(folder.path)
    folder.run_json_before.unlink(missing_ok=True)
    written = decode_record(text, folder)
    return RunResult(folder, written, verdict_of(written))


def _closing(
    folder: RunFolder,
    found: FirstPass,
    journal: Iterable[Entry],
    closed_at_ns: int,
    known: RunRecord | None = None,
    salvage: SalvageRecord | None = None,
) -> Closing:
    """Write every file but run.json under its temporary name; what run.json is made of."""
    second = SecondPass(folder, found)
    second.run(journal)
    bound_ns = _bound_ns(found, closed_at_ns)
    undisturbed = second.undisturbed.rollups()
    totals = second.by_name(second.seconds.totals)
    workers = second.workers.facts()
    facts = facts_of(
        found,
        names=second.by_name(second.seconds.window_totals),
        undisturbed=None if undisturbed is None else second.by_name(undisturbed),
        usage=second.services.facts(),
        usage_gaps=second.services.gaps(),
        usage_problems=second.services.problems(),
        queues=second.services.queues(),
        workers=workers,
        target=target_facts(second, workers),
        names_capped=second.names.capped,
        failures=sum(rollup.err for rollup in totals.values()),
        arrivals=second.arrivals_of_window,
        bound_ns=bound_ns,
        salvage=salvage,
    )
    objectives, problems = objectives_of(found)
    return Closing(
        run=folder.run,
        first_pass=found,
        facts=facts,
        verdict=judge(objectives, facts, problems),
        totals=totals,
        arrivals=second.arrivals_of_run,
        closed_at_ns=closed_at_ns,
        bound_ns=bound_ns,
        influx=known.ledgers.influx if known else None,
        salvage=salvage,
    )


def _bound_ns(found: FirstPass, closed_at_ns: int) -> int:
    """Until when an incarnation that was not reported lost may have sent requests.

    That is the stop, else the closing, but not later than the longest silence. A closing time equal to the newest time
    in the journal means that the run was left open and recovered later: its incarnations may have outlived that time.
    """
    newest_ns = found.state.newest_ns
    if found.state.lifecycle.stopped_ns:
        return found.state.lifecycle.stopped_ns
    longest_ns = newest_ns + _LONGEST_SILENCE_NS
    return min(closed_at_ns, longest_ns) if closed_at_ns > newest_ns else longest_ns
