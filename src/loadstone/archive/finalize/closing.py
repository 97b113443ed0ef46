"""Closing a run: from its journal to Parquet, CSV and run.json.

The journal is read twice: first for events and incarnations (`first_pass`), then for samples, which are rolled up,
counted and written in blocks (`second_pass`). Memory is bounded by a block, the open seconds and one integer per batch.
What is written depends on nothing but the journal, so closing a run again gives the same files. Each file is complete
under a temporary name before any of them gets its own, and run.json comes last: a run that has one is closed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from loadstone.archive.finalize.document import Closing, run_record, verdict_of
from loadstone.archive.finalize.facts import facts_of, objectives_of
from loadstone.archive.finalize.first_pass import FirstPass, first_pass
from loadstone.archive.finalize.second_pass import SecondPass
from loadstone.archive.finalize.target import target_facts
from loadstone.archive.folder import RunFolder, publish, temporary_name
from loadstone.archive.journal.reader import JournalReader
from loadstone.archive.run_json import read_record, write_record
from loadstone.archive.run_record import InfluxLedgerRecord, RunRecord
from loadstone.domain.time import NS_PER_S, parse_iso_ns
from loadstone.domain.verdict import judge
from loadstone.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loadstone.domain.verdict import Verdict

__all__ = ["RunResult", "close_run", "recover_run", "set_influx_ledger"]

_LONGEST_SILENCE_NS: Final = 30 * NS_PER_S
"""How long an incarnation that was not reported lost may have outlived the newest time in the journal, at most."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A closed run: its folder, its run.json, and its verdict."""

    folder: RunFolder
    record: RunRecord
    verdict: Verdict


def close_run(folder: RunFolder, *, now_ns: int | None, salvage: bool = False) -> RunResult:
    """Build every file of a run folder from its journal. The caller holds the folder's lock.

    ``now_ns`` (None: the newest time in the journal) is recorded as the time of closing, unless the run was closed
    before: closing it again gives the same files. ``salvage`` skips damaged parts of the journal. A closed run that was
    passed on without its journal is only read. Raises `ArchiveError` when the journal is damaged or missing, or the
    files cannot be written.
    """
    known = read_record(folder) if folder.is_closed else None
    if not folder.journal.is_dir():
        if known is None:
            raise ArchiveError(
                f"{folder.path} holds no journal and no run.json", hint="Give the folder of a recorded run"
            )
        return RunResult(folder, known, verdict_of(known))
    with _as_archive_error(folder):
        record = _build(folder, known, now_ns, salvage=salvage)
    return RunResult(folder, record, verdict_of(record))


def recover_run(folder: RunFolder, *, now_ns: int | None = None, salvage: bool = False) -> RunResult:
    """Close a run that was left open, as by a power cut; closing a closed run again gives the same files.

    Takes the arguments of `close_run`, and locks the folder. Raises `ArchiveError` as that does, and when another
    process holds the folder.
    """
    if not folder.path.is_dir():
        raise ArchiveError(f"there is no run folder {folder.path}", hint="List the runs with `loadstone runs`")
    with folder.lock():
        return close_run(folder, now_ns=now_ns, salvage=salvage)


def set_influx_ledger(folder: RunFolder, ledger: Mapping[str, int]) -> None:
    """Update InfluxDB's ledger in run.json: ``stored``, ``rejected``, ``pending``. Hold the folder's lock."""
    record = read_record(folder)
    influx = msgspec.convert(ledger, InfluxLedgerRecord)
    write_record(folder, replace(record, ledgers=replace(record.ledgers, influx=influx)))


@contextmanager
def _as_archive_error(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"cannot write the files of run {folder.run}: {error.strerror or error}",
            hint=f"Free some disk space and run `loadstone recover {folder.run}`: its journal is intact",
        ) from error


def _build(folder: RunFolder, known: RunRecord | None, now_ns: int | None, *, salvage: bool) -> RunRecord:
    journal = JournalReader(folder.journal, salvage=salvage)
    found = first_pass(journal, temporary_name(folder.events))
    second = SecondPass(folder, found)
    second.run(journal)
    for target in second.targets:
        publish(temporary_name(target), target)
    closing = _closing(folder, second, known, now_ns or found.state.newest_ns, tuple(journal.damage))
    record = run_record(closing)
    write_record(folder, record)
    return record


def _closing(
    folder: RunFolder, second: SecondPass, known: RunRecord | None, now_ns: int, damage: tuple[str, ...]
) -> Closing:
    closed_at_ns = parse_iso_ns(known.closed_at) if known else now_ns
    found = second.first_pass
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
        bound_ns=bound_ns,
        damage=damage,
    )
    objectives, problems = objectives_of(found)
    return Closing(
        run=folder.run,
        first_pass=found,
        facts=facts,
        verdict=judge(objectives, facts, problems),
        totals=totals,
        closed_at_ns=closed_at_ns,
        bound_ns=bound_ns,
        influx=known.ledgers.influx if known else None,
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
