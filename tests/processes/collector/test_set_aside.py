"""A run whose folder cannot be opened is set aside: the others go on, and its own entries wait for it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.journal.reader import read_journal, segment_paths
from loadstone.collector.open_run import OpenRun
from loadstone.collector.service import serve_aggregator
from loadstone.errors import ArchiveError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.launch.stream_store import is_read
from loadstone.stream.keys import AGGREGATORS, OPEN_RUNS, SAMPLES, live
from support import run_maker
from support.collecting import collector_settings, run_json, ship, small_run, threads
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, samples, write_journal

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from support.redis_server import RedisServer


@pytest.fixture
def run_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_maker, "START", time.time_ns())  # a run of long ago would be closed for want of a master


def damage(folder: RunFolder) -> bytes:
    """Flip a byte in the middle of a journal; how it was before."""
    (path,) = segment_paths(folder.journal)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 255]) + whole[len(whole) // 2 + 1 :])
    return whole


def troubles(client: Redis, run: str) -> list[str]:
    """What the newest live snapshot of a run says is in trouble."""
    found: Any = client.get(live(run))
    return [each["text"] for each in json.loads(found).get("troubles", ())]


@pytest.mark.usefixtures("run_of_now")
def test_a_damaged_journal_stops_no_other_run_and_its_entries_wait_until_it_is_whole(
    valkey: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    client = valkey.client()
    runs = {name: small_run(name).entries for name in ("a", "b")}
    half = len(runs["a"]) // 2
    folder = RunFolder(tmp_path / "a").create()
    write_journal(folder.journal, runs["a"][:half])
    client.sadd(OPEN_RUNS, "a")
    whole = damage(folder)
    ship(client, runs["a"][half:], "a")
    ship(client, runs["b"], "b")
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        wait_until(lambda: bool(run_json(tmp_path, "b")), "the other run is closed", timeout_s=30)
        assert "run=a state=set_aside" in caplog.text
        assert ["is damaged at byte" in text for text in troubles(client, "a")] == [True]
        assert troubles(client, "b") == []
        assert f"hint='loadstone recover a --results {tmp_path}'" in caplog.text
        assert client.xpending(SAMPLES, AGGREGATORS)["pending"] == sum(
            entry.kind is EntryKind.SAMPLES for entry in runs["a"][half:]
        )
        segment_paths(folder.journal)[0].write_bytes(whole)
        wait_until(lambda: bool(run_json(tmp_path, "a")), "it is opened again and closed", timeout_s=40)
        wait_until(lambda: not client.xpending(SAMPLES, AGGREGATORS)["pending"], "nothing is left")
    assert [run_json(tmp_path, name)["requests"] for name in ("a", "b")] == [800, 800]
    assert troubles(client, "a") == []
    assert sorted(entry.blob for entry in read_journal(folder.journal)) == sorted(entry.blob for entry in runs["a"])


@pytest.mark.usefixtures("run_of_now")
@pytest.mark.attack(
    "the folder of a run is moved in mid-run, and another process holds the one that takes its place",
    "no other run waits, and nothing is lost",
)
def test_a_folder_that_somebody_else_holds_stops_no_other_run(
    valkey: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    client = valkey.client()
    runs = {name: small_run(name).entries for name in ("a", "b")}
    half = len(runs["a"]) // 2
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        for name, entries in runs.items():
            ship(client, entries[:half], name)
        wait_until(lambda: client.scard(OPEN_RUNS) == 2 and is_read(client, SAMPLES), "both runs are open")
        (tmp_path / "a").rename(tmp_path / "taken-away")
        folder = RunFolder(tmp_path / "a").create()
        with folder.lock():
            for name, entries in runs.items():
                ship(client, entries[half:], name)
            wait_until(lambda: bool(run_json(tmp_path, "b")), "the other run is closed", timeout_s=30)
            assert "run=a state=set_aside" in caplog.text
            assert ["is being written by another process" in text for text in troubles(client, "a")] == [True]
            assert client.xpending(SAMPLES, AGGREGATORS)["pending"] > 0
        wait_until(lambda: bool(run_json(tmp_path, "a")), "it is opened again and closed", timeout_s=60)
    for name in ("a", "b"):
        document = run_json(tmp_path, name)
        assert (document["requests"], document["ledgers"]["archive"]["balances"]) == (800, True)


def test_a_run_that_cannot_be_opened_leaves_no_file_and_no_lock_behind(tmp_path: Path):
    folder = RunFolder(tmp_path / "a").create()
    write_journal(folder.journal, small_run().entries)
    damage(folder)
    (folder.journal / "00000002.lsj").touch()  # the writer opens the last segment only, so reading is what fails
    before = psutil.Process().num_fds()
    for _ in range(5):
        with pytest.raises(ArchiveError, match="damaged"):
            OpenRun.open(folder, SYSTEM_CLOCK)
    assert psutil.Process().num_fds() == before
    with folder.lock():
        pass


def test_an_entry_of_the_journal_that_cannot_be_decoded_does_not_keep_a_run_from_being_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = RunFolder(tmp_path / "a").create()
    run = RunMaker().started().add(IncarnationMaker().batch(samples(20, 0, 1)))
    run.entries.insert(2, Entry(EntryKind.SAMPLES, "7-0", b"LSB1 of an older version"))
    write_journal(folder.journal, run.entries)
    opened = OpenRun.open(folder, SYSTEM_CLOCK)
    opened.close()
    assert opened.position == len(run.entries)
    assert opened.state.ledger(0).stored == 20
    assert "id=7-0 skipped=yes" in caplog.text


def test_a_folder_that_may_not_be_read_is_an_error_of_that_run(tmp_path: Path):
    folder = RunFolder(tmp_path / "a").create()
    folder.journal.mkdir()
    (folder.journal / "00000001.lsj").mkdir()
    (folder.journal / "00000002.lsj").touch()  # the writer opens the last segment only
    with pytest.raises(ArchiveError, match=r"00000001\.lsj cannot be read: it is a folder, where a file is expected"):
        OpenRun.open(folder, SYSTEM_CLOCK)
