"""Streams that are kept: where they are, who may touch them, and that all that is in them reaches its runs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.writer import JournalWriter
from loadstone.cli.main import main
from loadstone.collector.service import serve_aggregator
from loadstone.errors import ExitCode, PlatformError, StorageError, UsageError
from loadstone.launch import kept_stream
from loadstone.launch.kept_stream import drain
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.stream_store import StreamFolder, holds_what_no_archive_has, is_read, kept_streams
from loadstone.launch.valkey import PrivateValkey
from loadstone.stream.client import connect
from loadstone.stream.keys import EVENTS, SAMPLES
from support import run_maker
from support.collecting import collector_settings, run_json, ship, small_run, threads
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(run_maker, "START", time.time_ns())  # a run of long ago would be closed for want of a master


@dataclass
class Start:
    """One start of loadstone: its stream, and the client of it."""

    data: StreamFolder
    valkey: PrivateValkey
    client: redis.Redis

    def end(self) -> None:
        """End as one that is killed with all its parts: the lock is gone, the data stays."""
        self.client.close()
        self.valkey.process.stop()
        self.valkey.remove_socket()
        self.data.release()


@contextmanager
def started(results: Path, log: Path) -> Iterator[Start]:
    data = StreamFolder.create(results.resolve())
    valkey = PrivateValkey.prepare(data, log, "127.0.0.1", ReservedPorts())
    valkey.process.start()
    valkey.wait_until_ready()
    start = Start(data, valkey, connect(valkey.url))
    try:
        yield start
    finally:
        start.valkey.process.stop()


def leave(results: Path, *runs: RunMaker, log: Path, archived_first: int = 0) -> Path:
    """The folder of a stream with these runs, of which an Aggregator has read the first entries."""
    with started(results, log) as start:
        for run in runs:
            ship(start.client, run.entries[:archived_first], run.run)
        if archived_first:
            with threads(collector_settings(start.valkey.url, results, None), serve_aggregator):
                wait_until(lambda: is_read(start.client, EVENTS, SAMPLES), "the first entries are read", timeout_s=30)
        for run in runs:
            ship(start.client, run.entries[archived_first:], run.run)
        assert holds_what_no_archive_has(start.client)
        start.end()
        return start.data.path


def never() -> bool:
    return False


def test_what_was_kept_is_in_its_runs_afterwards_and_the_stream_is_gone(tmp_path: Path):
    results = tmp_path / "results"
    leave(results, small_run("a"), small_run("b", ends=False), log=tmp_path / "log", archived_first=9)
    (kept,) = kept_streams(results)
    drained = drain(kept, results, never)
    assert (drained.closed, drained.refused) == (["a", "b"], {})
    assert [run_json(results, run)["requests"] for run in ("a", "b")] == [800, 800]
    assert run_json(results, "a")["ledgers"]["archive"]["balances"]
    assert (results / "a" / "report.html").exists()
    assert not kept_streams()
    assert not kept.path.exists()


def test_a_stream_of_runs_without_a_folder_makes_it(tmp_path: Path):
    results = tmp_path / "results"
    leave(results, small_run("a"), log=tmp_path / "log", archived_first=9)
    shutil.rmtree(results)
    (kept,) = kept_streams(results)
    drain(kept, results, never)
    ledger = run_json(results, "a")["ledgers"]["archive"]
    assert ledger["produced"] == 800
    assert 0 < ledger["stored"] < 800
    assert not ledger["balances"], "what was deleted with the journal is told as lost"


@pytest.mark.attack("a kept stream is read onto a disk that takes nothing", "it is kept, with the cause")
def test_a_disk_that_takes_nothing_keeps_the_stream_as_it_is(tmp_path: Path):
    results = tmp_path / "results"
    leave(results, small_run("a"), log=tmp_path / "log")
    (kept,) = kept_streams(results)
    blocked = results.with_name("blocked")
    blocked.write_text("a file where the folder of results should be")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"entries are still in the stream that is kept in .*cannot create"):
            drain(kept, blocked, never)
        kept = StreamFolder.open(kept.path)
    drain(kept, results, never)
    assert run_json(results, "a")["requests"] == 800


def test_an_interrupted_reading_goes_on_later(tmp_path: Path):
    results = tmp_path / "results"
    leave(results, small_run("a"), log=tmp_path / "log")
    (kept,) = kept_streams(results)
    with pytest.raises(PlatformError, match="interrupted"):
        drain(kept, results, lambda: True)
    (kept,) = kept_streams(results)
    drain(kept, results, never)
    assert run_json(results, "a")["requests"] == 800


@pytest.mark.attack("two starts of loadstone at once", "neither touches the stream of the other")
def test_a_stream_in_use_is_nobody_elses(tmp_path: Path):
    results = tmp_path / "results"
    with started(results, tmp_path / "1.log") as first, started(results, tmp_path / "2.log") as second:
        assert first.data.path != second.data.path
        ship(first.client, small_run("a").entries, "a")
        assert kept_streams() == []
        with pytest.raises(PlatformError, match="is in use"):
            StreamFolder.open(first.data.path)
        first.data.release()
        assert kept_streams() == [], "its server still runs and holds the lock"
        first.valkey.process.stop()
        (kept,) = kept_streams()
        assert kept.path == first.data.path
        drain(kept, results, never)
        assert second.client.ping()
    assert run_json(results, "a")["requests"] == 800


def test_a_stream_that_nothing_was_put_into_is_removed(tmp_path: Path):
    with started(tmp_path, tmp_path / "log") as start:
        start.end()
    assert start.data.path.exists()
    assert kept_streams() == []
    assert not start.data.path.exists()


def test_streams_are_found_by_their_results(tmp_path: Path):
    leave(tmp_path / "one", small_run("a"), log=tmp_path / "log")
    assert kept_streams(tmp_path / "another") == []
    (kept,) = kept_streams((tmp_path / "one").resolve())
    kept.release()


def test_where_no_state_can_be_kept_streams_are_with_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "state").write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    leave(tmp_path / "results", small_run("a"), log=tmp_path / "log")
    (kept,) = kept_streams()
    assert kept.path.parent == tmp_path / "tmp" / f"loadstone-{os.getuid()}" / "streams"
    kept.remove()


def test_where_nothing_can_be_written_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "state").write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "state"))
    with pytest.raises(PlatformError, match=r"no folder for the data .*XDG_STATE_HOME"):
        StreamFolder.create(tmp_path)


def test_a_folder_that_is_no_stream_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="is not the folder of a kept stream"):
        StreamFolder.open(tmp_path)


def test_recover_without_a_run_archives_all_that_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    results = tmp_path / "results"
    leave(results, small_run("a"), log=tmp_path / "log")
    assert main(["recover", "--results", str(results)]) == 0
    assert run_json(results, "a")["requests"] == 800
    assert "reading the stream that is kept in" in capfd.readouterr().out
    assert main(["recover", "--results", str(results)]) == 0
    assert "nothing is kept" in capfd.readouterr().out


def test_recover_reads_a_stream_of_results_that_are_elsewhere_now(tmp_path: Path):
    kept = leave(tmp_path / "old", small_run("a"), log=tmp_path / "log")
    new = tmp_path / "new"
    assert main(["recover", "a", "--results", str(new), "--stream", str(kept)]) == 0
    assert run_json(new, "a")["requests"] == 800


def test_a_run_that_cannot_be_closed_for_want_of_room_has_all_in_its_journal(tmp_path: Path):
    results = tmp_path / "results"
    leave(results, small_run("a"), log=tmp_path / "log", archived_first=9)
    (RunFolder(results / "a").path / ".events.jsonl.tmp").mkdir()
    assert main(["recover", "--results", str(results)]) == 4
    (RunFolder(results / "a").path / ".events.jsonl.tmp").rmdir()
    assert main(["recover", "a", "--results", str(results)]) == 0
    assert run_json(results, "a")["requests"] == 800


def test_a_report_that_cannot_be_written_keeps_no_run_from_being_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    results = tmp_path / "results"
    leave(results, small_run("a", ends=False), small_run("b", ends=False), log=tmp_path / "log", archived_first=9)
    (RunFolder(results / "a").path / ".report.html.tmp").mkdir()
    assert main(["recover", "--results", str(results)]) == 4
    assert [run_json(results, run)["requests"] for run in ("a", "b")] == [800, 800]
    told = capfd.readouterr().err
    assert "run a" in told
    assert "cannot be read" not in told


def test_a_run_with_a_damaged_journal_is_salvaged_though_a_stream_holds_more_of_it(tmp_path: Path):
    """Nothing of the stream can be put into that journal, so the hint of the error must lead out of it."""
    results = tmp_path / "results"
    kept = leave(results, small_run("a"), log=tmp_path / "log", archived_first=9)
    segment = RunFolder(results / "a").journal / "00000001.lsj"
    harmed = bytearray(segment.read_bytes())
    harmed[100] ^= 1
    segment.write_bytes(harmed)
    salvage = ["recover", "a", "--salvage", "--results", str(results)]
    assert main([*salvage, "--stream", str(kept)]) == 2
    assert main(salvage) == 3
    assert run_json(results, "a-salvaged")["salvage"]["missing"]
    assert kept.exists(), "it still holds what no archive has"


def harm(results: Path, run: str) -> None:
    segment = RunFolder(results / run).journal / "00000001.lsj"
    harmed = bytearray(segment.read_bytes())
    harmed[100] ^= 1
    segment.write_bytes(harmed)


def leave_open(results: Path, run: RunMaker) -> None:
    """A run with a whole journal that nobody has closed."""
    folder = RunFolder(results / run.run).create()
    with closing(JournalWriter(folder.journal)) as journal:
        for entry in run.entries:
            journal.append(entry.kind, entry.stream_id, entry.blob)


def not_loaded(kept: Path) -> None:
    """Harm the data of a stream so that no server starts with it."""
    (kept / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest")


@pytest.mark.attack(
    "a kept stream of other runs that cannot be read", "told in a line; the run that is asked for is closed"
)
@pytest.mark.parametrize("trouble", ["a run in it is damaged", "its server does not start"])
def test_a_stream_of_other_runs_does_not_keep_a_run_from_being_recovered(
    tmp_path: Path, trouble: str, capfd: pytest.CaptureFixture[str]
):
    results = tmp_path / "results"
    kept = leave(results, small_run("b"), log=tmp_path / "log", archived_first=9)
    harm(results, "b") if trouble == "a run in it is damaged" else not_loaded(kept)
    leave_open(results, small_run("a"))
    assert main(["recover", "a", "--results", str(results)]) == ExitCode.PASS
    assert run_json(results, "a")["requests"] == 800
    (told,) = capfd.readouterr().err.splitlines()
    assert str(kept) in told
    assert kept.exists()


def test_a_run_that_may_be_in_a_stream_that_cannot_be_read_is_not_said_to_be_unknown(tmp_path: Path):
    results = tmp_path / "results"
    not_loaded(leave(results, small_run("a"), log=tmp_path / "log"))
    assert main(["recover", "a", "--results", str(results)]) == ExitCode.PLATFORM


def test_a_damaged_run_keeps_no_other_one_in_its_stream_from_being_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_stream, "_STUCK_FOR_S", 3.0)
    results, runs = tmp_path / "results", [small_run("a", ends=False), small_run("b", ends=False)]
    kept = leave(results, *runs, log=tmp_path / "log", archived_first=9)
    harm(results, "b")
    assert main(["recover", "a", "--results", str(results)]) == ExitCode.INCONCLUSIVE
    assert run_json(results, "a")["requests"] == 800
    assert main(["recover", "--results", str(results)]) == ExitCode.PLATFORM
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("loadstone: ")]
    assert len(told) == 2
    for line in told:
        assert f"in {kept}: run b: journal segment" in line
    assert kept.exists()


def test_a_stream_that_cannot_be_read_keeps_no_other_one_from_being_read(tmp_path: Path):
    results = tmp_path / "results"
    not_loaded(leave(results, small_run("a"), log=tmp_path / "log"))
    leave(results, small_run("b"), log=tmp_path / "log")
    not_loaded(leave(results, small_run("c"), log=tmp_path / "log"))
    assert main(["recover", "--results", str(results)]) == ExitCode.PLATFORM
    assert run_json(results, "b")["requests"] == 800


def test_of_several_runs_the_one_that_failed_decides_the_exit_code(tmp_path: Path):
    """Nobody says again that it failed; a run that is inconclusive can be repeated."""
    results = tmp_path / "results"
    failed = RunMaker("a").started(objectives=["rps>=1000000"], workers=[1])
    worker = IncarnationMaker(1, run="a")
    failed.add(worker.batch(samples(10, 0, 1))).stopped(1, requests=10).add(worker.batch(at_s=1, final=True))
    leave(results, failed, small_run("b", ends=False), log=tmp_path / "log")
    assert main(["recover", "--results", str(results)]) == ExitCode.FAIL
    assert [run_json(results, run)["verdict"] for run in ("a", "b")] == ["fail", "inconclusive"]


def test_recover_that_is_told_to_stop_ends_as_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = tmp_path / "results"
    kept = leave(results, small_run("a"), log=tmp_path / "log", archived_first=9)
    monkeypatch.setattr(kept_stream, "serve_aggregator", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["recover", "a", "--results", str(results)]) == ExitCode.INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) is before, "what comes after it can be interrupted as ever"
    assert kept.exists()
    assert not (results / "a" / "run.json").exists()
