"""Everything that is ever done with the entries of a run, in one process: live, closing, report, points."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Final, NamedTuple

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.finalize.closing import close_run
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.run_state import RunState
from loadstone.charts.page import write_report
from loadstone.collector.live.board import LiveBoard
from loadstone.collector.live.snapshot import snapshot
from loadstone.domain.batch import Batch
from loadstone.domain.live import decode_live, encode_live
from loadstone.errors import FormatError
from loadstone.gate.compare import compare_runs
from loadstone.influx.encode import request_lines
from loadstone.influx.encode_summary import summary_lines
from loadstone.influx.name_cap import names_in
from loadstone.influx.point_stream import PointStream, apply_entry
from loadstone.report.export import FormatName, What, export
from loadstone.report.terminal import print_comparison, print_summary
from support.run_maker import SECOND, START, write_journal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.journal.frame import Entry
    from loadstone.archive.run_record import RunRecord

__all__ = ["Chain", "whole_chain"]

_COMPARED_S: Final = 31 * 86_400
"""Longer windows are refused by ``compare``, with a test of its own."""


class Chain(NamedTuple):
    """What came of the entries: those that were refused, with the reason; the run; its lines of line protocol."""

    refused: list[tuple[Entry, str]]
    record: RunRecord
    lines: list[str]


def whole_chain(folder: RunFolder, entries: Iterable[Entry]) -> Chain:
    """Take in entries as the Aggregator does, close the run, and read it in every way."""
    state = RunState()
    points = PointStream(folder.run, state.names)
    taken, refused, lines = [], [], []
    for entry in entries:
        try:
            content = decode_entry(entry.kind, entry.blob)
        except FormatError as error:
            refused.append((entry, error.message))
            continue
        taken.append(entry)
        apply_entry("1790000000000-0", content, state, points)
        lines += points.take()
        if isinstance(content, Batch):
            lines += request_lines(content, names_in(state.names, content.names))
        _show(folder.run, state)
    write_journal(folder.create().journal, taken)
    lines += _points_at_the_end(points, taken)
    record = _closed(folder)
    return Chain(refused, record, lines + summary_lines(record))


def _show(run: str, state: RunState) -> None:
    live = snapshot(run, state, now_ns=START + SECOND)
    assert decode_live(encode_live(live)) == live
    board = LiveBoard()
    board.show(live, state)
    assert board.message(("", 0), None) is not None


def _points_at_the_end(points: PointStream, taken: list[Entry]) -> list[str]:
    return [line for lines in points.finish(lambda: taken) for line in lines]


def _closed(folder: RunFolder) -> RunRecord:
    close_run(folder, now_ns=START + 1000 * SECOND)
    write_report(folder)
    run = ClosedRun.open(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        print_summary(folder)
        if run.record.window.seconds < _COMPARED_S:
            print_comparison(compare_runs(run, run, allow_unlike=True))
    for form in FormatName:
        export(folder, What.STATS, form, io.BytesIO(), lambda _: None)
    return run.record
