"""A backfill from a journal that is not quite as this version writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.run_record import InfluxLedgerRecord
from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.backfill import write_run
from loadstone.influx.delivery import Delivery
from support.run_maker import IncarnationMaker, RunMaker, samples, write_journal

if TYPE_CHECKING:
    from pathlib import Path


class Accepting:
    """An InfluxDB that stores everything."""

    def write(self, _lines: bytes) -> WriteAnswer:
        return WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        raise AssertionError


def test_an_event_that_cannot_be_read_does_not_keep_a_run_from_being_written(tmp_path: Path):
    run = RunMaker().started().add(IncarnationMaker().batch(samples(20, 0, 1), final=True)).stopped(1)
    run.entries.append(Entry(EntryKind.EVENTS, "1-0", b'{"kind":"names_capped"}'))
    folder = RunFolder(tmp_path / "r").create()
    write_journal(folder.journal, run.entries)
    ledger = write_run(folder, Delivery(Accepting(), lambda _: None, refused_pause_s=1))
    assert ledger == InfluxLedgerRecord(stored=20, rejected=0, pending=0)
