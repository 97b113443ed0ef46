"""Closed runs with several segments, and what can happen to a journal; each kind with what `recover` says of it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import SEGMENT_MAGIC, Segment
from loadstone.archive.journal.reader import segment_paths
from loadstone.archive.journal.writer import JournalWriter
from loadstone.archive.verify import verify_run
from loadstone.domain.event import EventKind
from loadstone.domain.usage_tick import Usage
from loadstone.errors import UnreadableRunError
from support.run_files import flip, snapshot
from support.run_maker import IncarnationMaker, RunMaker, samples
from support.varied_run import at, varied_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry

__all__ = [
    "HARM",
    "OTHER",
    "REQUESTS",
    "RUN",
    "add_late_entries",
    "close_runs",
    "cut_the_last_segment",
    "damaged",
    "flip_a_bit",
    "is_not_closed_again",
    "lose_a_segment_in_between",
]

RUN, OTHER = "20260922-000000-aaaa", "20260922-000000-bbbb"
REQUESTS = 8 * 60 * 3 - 3 * 60


def close_runs(results: Path) -> None:
    """Two closed runs with several segments each; the second has more of everything."""
    for name, entries in ((RUN, varied_run().entries), (OTHER, _larger_run())):
        folder = RunFolder(results / name).create()
        _write(folder, entries, segment_bytes=25_000)
        close_run(folder, now_ns=at(1000))
        assert len(segment_paths(folder.journal)) > 3


def add_late_entries(run: RunFolder) -> int:
    """Add what comes late to the journal of a closed run; how many requests that are."""
    late = RunMaker().add(IncarnationMaker(9, "late").batch(samples(30, 7, 8), final=True))
    _write(run, late.entries, segment_bytes=25_000)
    return late.requests


def damaged(run: RunFolder) -> list[str]:
    """The damaged files of a run whose report nobody has written."""
    return [each.name for each in verify_run(run).damaged if each.name != run.report.name]


def is_not_closed_again(run: RunFolder, words: str, close: Callable[[], object]) -> UnreadableRunError:
    """Closing fails with these words, and every file stays as it was."""
    before = snapshot(run)
    with pytest.raises(UnreadableRunError) as error:
        close()
    assert words in str(error.value)
    assert snapshot(run) == before, "no file has changed, and none was added"
    return error.value


def _write(folder: RunFolder, entries: Iterable[Entry], *, segment_bytes: int) -> None:
    writer = JournalWriter(folder.journal, segment_bytes=segment_bytes)
    for entry in entries:
        writer.append(*entry)
        writer.sync()
    writer.close()


def _larger_run() -> list[Entry]:
    """A run with more of everything, and other incarnations."""
    run = RunMaker(run=OTHER).started()
    incarnations = [IncarnationMaker(worker, f"other-{worker}", OTHER) for worker in range(4)]
    for second in range(30):
        run.event(EventKind.USERS, second, users=5, target_users=5, workers=4)
        run.usage(second, Usage(service="target", container="a", cpu_cores=1.0, mem_bytes=1))
        for incarnation in incarnations:
            run.add(incarnation.batch(samples(20, second, second + 1)))
    for incarnation in incarnations:
        run.add(incarnation.batch(at_s=30, final=True))
    return run.stopped(30).entries


def empty(run: RunFolder) -> None:
    for path in segment_paths(run.journal):
        path.write_bytes(b"")


def leave_no_segment(run: RunFolder) -> None:
    for path in segment_paths(run.journal):
        path.unlink()


def lose_the_last_segment(run: RunFolder) -> None:
    segment_paths(run.journal)[-1].unlink()


def lose_a_segment_in_between(run: RunFolder) -> None:
    segment_paths(run.journal)[1].unlink()


def cut_the_last_segment(run: RunFolder) -> None:
    os.truncate(segment_paths(run.journal)[-1], 3000)


def cut_a_segment_in_between_behind_a_whole_entry(run: RunFolder) -> None:
    path = segment_paths(run.journal)[1]
    segment = Segment(path.read_bytes())
    ends = [segment.end for _ in segment]
    os.truncate(path, ends[len(ends) // 2])


def empty_a_segment_to_its_magic(run: RunFolder) -> None:
    segment_paths(run.journal)[-1].write_bytes(SEGMENT_MAGIC)


def take_the_journal_of_another_run(run: RunFolder) -> None:
    shutil.rmtree(run.journal)
    shutil.copytree(run.path.parent / OTHER / "journal", run.journal)


def flip_a_bit(run: RunFolder) -> None:
    flip(segment_paths(run.journal)[1], 5000)


def put_a_folder_in_place_of_a_segment(run: RunFolder) -> None:
    path = segment_paths(run.journal)[1]
    path.unlink()
    path.mkdir()


def put_a_pipe_in_place_of_a_segment(run: RunFolder) -> None:
    path = segment_paths(run.journal)[1]
    path.unlink()
    os.mkfifo(path)


HARM = [
    pytest.param(empty, "00000001.lsj is damaged at byte 0", id="every segment emptied"),
    pytest.param(leave_no_segment, "0 of 1,260 requests", id="every segment deleted"),
    pytest.param(lose_the_last_segment, "of 1,260 requests", id="the last segment deleted"),
    pytest.param(lose_a_segment_in_between, "00000002.lsj is missing", id="a segment in between deleted"),
    pytest.param(cut_the_last_segment, "of 1,260 requests", id="the last segment cut"),
    pytest.param(
        cut_a_segment_in_between_behind_a_whole_entry, "of 1,260 requests", id="a segment cut behind a whole entry"
    ),
    pytest.param(empty_a_segment_to_its_magic, "of 1,260 requests", id="the last segment emptied to its magic bytes"),
    pytest.param(
        take_the_journal_of_another_run, "0 of 480 requests of worker 0 (boot-0)", id="the journal of another run"
    ),
    pytest.param(put_a_folder_in_place_of_a_segment, "00000002.lsj cannot be read", id="a folder as a segment"),
    pytest.param(put_a_pipe_in_place_of_a_segment, "00000002.lsj cannot be read", id="a pipe as a segment"),
    pytest.param(flip_a_bit, "00000002.lsj is damaged at byte", id="a bit flipped in a segment in between"),
]
