"""The finalizer: a process that closes one run, and is started again when it failed or was killed."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder, temporary_name
from loadstone.collector.finalizer import _Outcome, _outcome
from loadstone.collector.service import start_finalizer
from loadstone.stream.keys import finalizer_lease
from loadstone.stream.lease import Lease
from support.closed_runs import MadeRun
from support.fake_clock import FakeClock
from support.full_disk import files_no_larger_than
from support.processes import wait_until
from support.run_files import snapshot
from support.run_maker import START, write_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.collector.finalizer import Finalizer
    from support.redis_server import RedisServer

RUN = MadeRun()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that is over and not closed."""
    return open_run(tmp_path / "results")


def open_run(results: Path) -> RunFolder:
    made = RunFolder(results / RUN.run).create()
    write_journal(made.journal, RUN.entries())
    return made


@pytest.fixture
def time() -> FakeClock:
    return FakeClock(now_ns=START)


@pytest.fixture
def finalizer(valkey: RedisServer, folder: RunFolder, time: FakeClock) -> Iterator[Finalizer]:
    made = start_finalizer(valkey.url, "test", time.clock, folder)
    yield made
    made.stop()


def failed(finalizer: Finalizer) -> bool:
    """Whether its process ended without having closed the run, which begins a pause."""
    return not finalizer.poll() and finalizer.pid is None


def test_it_makes_the_files_that_recover_makes_and_the_report(finalizer: Finalizer, folder: RunFolder, tmp_path: Path):
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    expected = recover_run(open_run(tmp_path / "elsewhere"), now_ns=START)
    assert json.loads(folder.run_json.read_text()) == json.loads(expected.folder.run_json.read_text())
    assert folder.requests.read_bytes() == expected.folder.requests.read_bytes()
    assert folder.report.is_file()


def test_a_killed_one_is_started_again_after_a_pause(finalizer: Finalizer, folder: RunFolder, time: FakeClock, caplog):
    assert not finalizer.poll()
    assert finalizer.pid is not None
    os.kill(finalizer.pid, signal.SIGKILL)
    wait_until(lambda: failed(finalizer), "it is missed")
    assert "exit code -9" in caplog.text
    finalizer.poll()
    assert finalizer.pid is None, "the pause is not over"
    time.advance(60)
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    assert folder.is_closed


def test_one_that_is_killed_while_it_makes_the_report_leaves_a_closed_run_and_is_not_started_again(
    finalizer: Finalizer, folder: RunFolder, caplog
):
    pipe = temporary_name(folder.report)
    os.mkfifo(pipe)  # it has less room than a report needs
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        finalizer.poll()
        assert select.select([reader], [], [], 60)[0], "it writes the report"
        assert folder.is_closed
        assert finalizer.pid is not None
        os.kill(finalizer.pid, signal.SIGKILL)
        wait_until(finalizer.poll, "the run counts as closed")
    finally:
        os.close(reader)
    assert "report=no" in caplog.text
    assert "exit code -9 while it made the report" in caplog.text
    assert folder.command("report") in caplog.text
    assert "not_closed" not in caplog.text
    assert finalizer.pid is None
    assert finalizer.error == ""


@pytest.mark.parametrize(
    ("answer", "closed"), [(b"", False), (b'{"err', False), (b"{}\n", True), (b'{}\n{"has_rep', True)]
)
def test_what_a_killed_one_said_first_counts(answer: bytes, closed: bool):
    outcome = _outcome(answer, -9)
    assert (not outcome.error) == closed
    assert bool(outcome.report_error) == closed


def test_a_full_disk_is_logged_and_closing_is_tried_again(
    finalizer: Finalizer, folder: RunFolder, time: FakeClock, caplog
):
    with files_no_larger_than(2000):
        wait_until(lambda: failed(finalizer), "it fails", timeout_s=60)
        assert "cannot write the files of run" in caplog.text
        assert "nothing_lost=yes" in caplog.text
    assert not folder.is_closed
    time.advance(60)
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)


@pytest.mark.attack("the journal of a run is shortened before the finalizer closes it again", "it leaves the archive")
def test_a_run_that_would_get_less_is_left_as_it_is_and_that_is_logged(
    finalizer: Finalizer, folder: RunFolder, time: FakeClock, caplog
):
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    (segment,) = folder.journal.iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    before = snapshot(folder)
    again = start_finalizer(finalizer._order.redis_url, "again", time.clock, folder)
    wait_until(lambda: failed(again), "it fails", timeout_s=60)
    assert "its journal yields less than its archive holds" in caplog.text
    assert snapshot(folder) == before
    segment.write_bytes(whole)
    time.advance(60)
    wait_until(again.poll, "the run is closed again", timeout_s=60)


def test_it_waits_for_the_lease_that_a_killed_one_left(valkey: RedisServer, finalizer: Finalizer, folder: RunFolder):
    lease = Lease(valkey.client(), finalizer_lease(RUN.run), "another", life_ms=1500)
    assert lease.take()
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    assert folder.is_closed
    assert lease.take() > 1, "it released its own lease"


def test_a_folder_that_another_process_holds_is_left_alone(
    finalizer: Finalizer, folder: RunFolder, time: FakeClock, caplog
):
    with folder.lock():
        wait_until(lambda: failed(finalizer), "it fails", timeout_s=60)
    assert "is being written by another process" in caplog.text
    assert not folder.is_closed
    time.advance(60)
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)


def test_after_any_number_of_failures_it_is_tried_again_after_a_minute(
    finalizer: Finalizer, folder: RunFolder, time: FakeClock
):
    for _ in range(1100):
        finalizer._note(_Outcome(error="no space"))
    time.advance(59)
    finalizer.poll()
    assert finalizer.pid is None, "the pause is not over"
    time.advance(1)
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    assert folder.is_closed


def test_a_run_without_a_report_is_closed_all_the_same(finalizer: Finalizer, folder: RunFolder, caplog):
    folder.report.mkdir()
    wait_until(finalizer.poll, "the run is closed", timeout_s=60)
    assert folder.is_closed
    assert "report=no" in caplog.text


def test_stopping_it_ends_its_process(finalizer: Finalizer):
    finalizer.poll()
    pid = finalizer.pid
    assert pid is not None
    finalizer.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
