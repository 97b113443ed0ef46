"""Disks that take nothing under a real Aggregator: told at once, nothing acknowledged, nothing lost, and on record."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
import redis

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.reader import read_journal
from loadstone.collector.service import serve_aggregator
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.stream_store import StreamFolder
from loadstone.launch.valkey import PrivateValkey
from loadstone.stream.client import connect, refusal
from loadstone.stream.consumer import is_finished
from loadstone.stream.keys import AGGREGATORS, EVENTS, SAMPLES, STORAGE_TROUBLE
from support.collecting import collector_settings, program, run_json, ship, small_run, threads
from support.processes import ServerProcess, free_port, wait_until
from support.small_disk import Ext4Disk, SmallDisk, ext4_disk, memory_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("recent_runs")
LAUNCH = "launch-of-the-test"
SAMPLES_SENT = 8000


def entries() -> list[Any]:
    made = small_run(workers=2, batches=40, per_batch=100)
    started = small_run(workers=2, batches=0, ends=False).started(0, workers=(1, 2), launch=LAUNCH).entries[4:5]
    return [*started, *made.entries[1:]]


WITHOUT_RIGHTS = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)
"""Root may write everywhere, unless it gives up these rights."""


@contextmanager
def aggregating(valkey: RedisServer, results: Path, log: Path, *before: str) -> Iterator[ServerProcess]:
    running = program(collector_settings(valkey.url, results, None), "aggregator", log)
    running.command = [*before, *running.command]
    running.start()
    try:
        yield running
    finally:
        running.kill()


def troubles(client: redis.Redis) -> list[str]:
    """What the newest live snapshot of the run says is in trouble; only as the launch sees it."""
    found: Any = client.get("live:r")
    live = json.loads(found) if found else {}
    return [each["text"] for each in live.get("troubles", ()) if live.get("launch") == LAUNCH]


def told(client: redis.Redis, words: str) -> Callable[[], bool]:
    return lambda: any(words in text for text in troubles(client))


def journaled(client: redis.Redis) -> bool:
    return is_finished(client, SAMPLES, AGGREGATORS) and is_finished(client, EVENTS, AGGREGATORS)


def acknowledged(client: redis.Redis, blobs: set[bytes]) -> set[bytes]:
    """The blobs that nobody will deliver again: they are no longer in the streams."""
    left = {fields[b"b"] for stream in (SAMPLES, EVENTS) for _, fields in client.xrange(stream)}
    return blobs - left


def assert_whole(results: Path, failures: list[str]) -> None:
    document = run_json(results)
    assert document["requests"] == document["ledgers"]["archive"]["stored"] == SAMPLES_SENT
    assert document["ledgers"]["archive"]["balances"]
    events = [json.loads(line) for line in (results / "r" / "events.jsonl").read_text().splitlines()]
    recorded = [event["data"] for event in events if event["kind"] == "storage_failed"]
    assert len(recorded) == len(failures)
    for event, words in zip(recorded, failures, strict=True):
        assert words in event["text"]
        assert event["lasted_s"] > 0 or "written again" in words


def out_of_room(disk: SmallDisk) -> None:
    disk.fill()


def out_of_inodes(disk: SmallDisk) -> None:
    disk.take_inodes()


@pytest.mark.attack(
    "the disk of the results is full",
    "told at once, nothing acknowledged, and all archived once there is room",
)
@pytest.mark.parametrize("already_open", [True, False], ids=["in mid-run", "before the run"])
@pytest.mark.parametrize(
    ("befalls", "words"),
    [(out_of_room, "No space left"), (out_of_inodes, "no inode is left")],
    ids=["out of room", "out of inodes"],
)
def test_a_disk_without_room_is_told_at_once_and_loses_nothing_once_there_is_some(
    valkey: RedisServer, tmp_path: Path, befalls: Callable[[SmallDisk], None], words: str, already_open: bool
):
    client, sent = valkey.client(), entries()
    half = len(sent) // 2 if already_open else 0
    with (
        memory_disk(tmp_path / "disk", inodes=100) as disk,
        aggregating(valkey, disk.path / "results", tmp_path / "log"),
    ):
        results = disk.path / "results"
        ship(client, sent[:half])
        wait_until(
            lambda: not half or ((results / "r").exists() and journaled(client)), "it has the first half", timeout_s=30
        )
        befalls(disk)
        ship(client, sent[half:])
        wait_until(told(client, words), "it is told", timeout_s=30)
        in_journal = {entry.blob for entry in read_journal(RunFolder(results / "r").journal)}
        assert acknowledged(client, {entry.blob for entry in sent}) <= in_journal
        assert not run_json(results)
        disk.make_room()
        wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
        wait_until(lambda: not troubles(client), "the trouble is over")
        assert not client.exists(STORAGE_TROUBLE)
        is_recorded = befalls is out_of_room or not already_open
        assert_whole(results, [words] if is_recorded else [])


@pytest.mark.attack("the results may not be written", "told at once, and all archived once they may")
def test_a_results_folder_that_may_not_be_written_is_told_and_used_once_it_may(valkey: RedisServer, tmp_path: Path):
    client, sent, results = valkey.client(), entries(), tmp_path / "results"
    before = () if os.geteuid() else WITHOUT_RIGHTS
    results.mkdir(mode=0o500)
    with aggregating(valkey, results, tmp_path / "log", *before):
        ship(client, sent)
        wait_until(told(client, "Permission denied. Let this user write there"), "it is told", timeout_s=30)
        results.chmod(0o700)
        wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
    assert_whole(results, ["Permission denied"])


@pytest.mark.attack(
    "the disk of the results breaks in mid-run",
    "told at once, nothing acknowledged, and all archived once it is mended",
)
@pytest.mark.parametrize(
    ("befalls", "words"),
    [(Ext4Disk.turn_read_only, "Read-only file system"), (Ext4Disk.turn_unusable, "Input/output error")],
    ids=["read-only", "input/output error"],
)
def test_a_disk_that_breaks_in_mid_run_loses_nothing_when_another_aggregator_finds_it_mended(
    valkey: RedisServer, tmp_path: Path, befalls: Callable[[Ext4Disk], None], words: str
):
    client, sent = valkey.client(), entries()
    half = len(sent) // 2
    with ext4_disk(tmp_path / "disk") as disk:
        results = disk.path / "results"
        with aggregating(valkey, results, tmp_path / "1.log"):
            ship(client, sent[:half])
            wait_until(lambda: journaled(client) and (results / "r").exists(), "it has the first half", timeout_s=30)
            befalls(disk)
            ship(client, sent[half:])
            wait_until(told(client, words), "it is told", timeout_s=30)
        disk.mend()
        in_journal = {entry.blob for entry in read_journal(RunFolder(results / "r").journal)}
        assert acknowledged(client, {entry.blob for entry in sent}) <= in_journal
        with aggregating(valkey, results, tmp_path / "2.log"):
            wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
        assert_whole(results, [words])


def delete_results(results: Path) -> None:
    shutil.rmtree(results)


def delete_journal(results: Path) -> None:
    shutil.rmtree(results / "r" / "journal")


def delete_segments(results: Path) -> None:
    for path in (results / "r" / "journal").iterdir():
        path.unlink()


def move_results(results: Path) -> None:
    results.rename(results.with_name("moved"))


@pytest.mark.attack(
    "results or journal are deleted or moved in mid-run",
    "written again, told, on record, and all archived",
)
@pytest.mark.parametrize(
    "befalls",
    [delete_results, delete_journal, delete_segments, move_results],
    ids=lambda fate: fate.__name__.replace("_", " "),
)
def test_what_is_deleted_or_moved_in_mid_run_is_written_again_and_told(
    valkey: RedisServer, tmp_path: Path, befalls: Callable[[Path], None]
):
    client, sent, results = valkey.client(), entries(), tmp_path / "results"
    half = len(sent) // 2
    with aggregating(valkey, results, tmp_path / "log"):
        ship(client, sent[:half])
        wait_until(lambda: journaled(client) and (results / "r").exists(), "it has the first half", timeout_s=30)
        befalls(results)
        wait_until(told(client, "deleted or moved"), "it is told, though nothing comes in", timeout_s=30)
        ship(client, sent[half:])
        wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
    assert_whole(results, ["written again"])


@pytest.mark.attack("the run is deleted while it is closed", "its journal is written again, and the run closed")
def test_a_journal_that_is_deleted_while_its_run_is_closed_is_written_again(valkey: RedisServer, tmp_path: Path):
    """The finalizer cannot start while every file of the run is in the way; then the whole folder goes."""
    client, sent, results = valkey.client(), entries(), tmp_path / "results"
    with aggregating(valkey, results, tmp_path / "log") as running:
        ship(client, sent[:-1])
        wait_until(lambda: journaled(client) and (results / "r").exists(), "it has nearly all", timeout_s=30)
        (results / "r" / ".events.jsonl.tmp").mkdir()
        ship(client, sent[-1:])
        wait_until(told(client, "cannot write the files of run r"), "closing it fails, and that is told", timeout_s=60)
        shutil.rmtree(results)
        wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
        assert running.pid
    assert run_json(results)["requests"] == SAMPLES_SENT


@pytest.mark.attack("the Aggregator is asked to end on a full disk", "it ends soon and acknowledges nothing")
def test_an_aggregator_that_is_asked_to_end_on_a_full_disk_ends_soon(valkey: RedisServer, tmp_path: Path):
    client, sent = valkey.client(), entries()
    with memory_disk(tmp_path / "disk") as disk, aggregating(valkey, disk.path, tmp_path / "log") as running:
        disk.fill()
        ship(client, sent)
        wait_until(told(client, "No space left"), "it is told", timeout_s=30)
        running.send_signal(signal.SIGTERM)
        wait_until(lambda: not running.running, "it has ended", timeout_s=10)
        assert not acknowledged(client, {entry.blob for entry in sent})


@contextmanager
def private_valkey(state: Path, results: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateValkey]:
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    data = StreamFolder.create(results)
    running = PrivateValkey.prepare(data, log, "127.0.0.1", ReservedPorts())
    running.process.start()
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.process.stop()
        running.remove_socket()
        data.remove()


@pytest.mark.attack("the disk of the private Valkey is full", "told, and entries are taken once there is room")
def test_a_stream_server_whose_disk_is_full_is_told_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sent, results, port = entries(), tmp_path / "results", free_port()
    half, state = len(sent) // 2, tmp_path / "state"
    with memory_disk(state) as disk, private_valkey(state, results, tmp_path / "log", monkeypatch) as valkey:
        client = connect(valkey.url)
        settings = collector_settings(valkey.url, results, None, live_port=str(port))
        with threads(settings, serve_aggregator):
            ship(client, sent[:half])
            wait_until(lambda: journaled(client) and (results / "r").exists(), "it has the first half", timeout_s=30)
            disk.fill()
            wait_until(lambda: bool(refusal(client)), "the server says that it cannot write", timeout_s=30)
            with pytest.raises(redis.ResponseError, match="MISCONF"):
                ship(client, sent[half:])
            wait_until(lambda: "cannot write to its disk" in on_page(port), "the live page says so", timeout_s=30)
            disk.make_room()
            wait_until(lambda: not refusal(client), "the server takes entries again", timeout_s=30)
            ship(client, sent[half:])
            wait_until(lambda: bool(run_json(results)), "the run is archived", timeout_s=60)
        client.close()
    assert_whole(results, [])


def on_page(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/state") as answer:
        return " ".join(json.load(answer).get("troubles", []))
