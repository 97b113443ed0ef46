"""Whole runs whose disk fills up: told at once, ended soon, nothing deleted, and archived to the last request later."""

from __future__ import annotations

import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest

from support.small_disk import memory_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.counting_server import CountingServer
    from support.loadstone_run import LoadstoneRun
    from support.small_disk import SmallDisk

LOAD = ("-u", "10", "-r", "50", "-t", "60s", "--workers", "2")
TOLD = "! archive: cannot write the journal"


@pytest.fixture
def on_small_disk(new_run: Callable[..., LoadstoneRun], counting_server: CountingServer) -> Iterator[Any]:
    run = new_run("mixed", "--host", counting_server.url, *LOAD)
    with memory_disk(run.results) as disk:
        yield run, disk
        run.kill_leftovers()


def fill_in_mid_run(run: LoadstoneRun, disk: SmallDisk, server: CountingServer) -> None:
    """Start the run, take the room away once it is under way, and let it go on for a while."""
    run.start()
    run.wait_for(lambda: server.count().total > 200 or None)
    disk.fill()
    before = server.count().total
    run.wait_for(lambda: server.count().total > before + 300 or None)


def recovered(new_run: Callable[..., LoadstoneRun], run: LoadstoneRun, *words: str) -> LoadstoneRun:
    recovery = new_run(None, *words, verb="recover")
    recovery.folder = run.folder
    return recovery


def archived(run: LoadstoneRun) -> tuple[int, int]:
    (folder,) = run.results.glob("*/run.json")
    return run.rows(), run.document(folder.parent)["ledgers"]["archive"]["stored"]


@pytest.mark.attack(
    "a whole run is interrupted on a full disk",
    "told at once, exit code 4 soon, the stream is kept, and the printed command archives every request",
)
@pytest.mark.parametrize("times", [1, 3], ids=["Ctrl-C", "Ctrl-C three times"])
def test_a_run_that_is_interrupted_on_a_full_disk_ends_soon_and_is_archived_by_the_command_it_prints(
    on_small_disk: tuple[LoadstoneRun, SmallDisk], new_run: Any, counting_server: CountingServer, times: int
):
    run, disk = on_small_disk
    fill_in_mid_run(run, disk, counting_server)
    for _ in range(times):
        run.send(signal.SIGINT)
    assert run.finish(60) == 4, run.output
    assert run.output.index(TOLD) < run.output.index("stopping: requests in flight"), "told while it runs"
    assert not list(run.results.glob("*/run.json"))
    (kept,) = run.kept_streams()
    assert str(kept) in run.output
    command = shlex.split(next(line for line in run.output.splitlines() if "loadstone recover" in line).split(": ")[-1])
    assert command == ["loadstone", "recover", "--results", str(run.results)]
    assert not run.left_running()

    refused = recovered(new_run, run)
    assert refused.run() == 4, refused.output
    assert "No space left" in refused.output
    assert run.kept_streams() == [kept]

    disk.make_room()
    recovery = recovered(new_run, run)
    assert recovery.run() in {3, 130}, recovery.output
    assert archived(run) == (counting_server.count().total,) * 2
    assert [event["kind"] for event in run.events()].count("storage_failed") == 1
    assert not run.left_behind()


@pytest.mark.attack("the disk of a whole run is full for a while", "told at once, and every request archived")
def test_a_run_goes_on_by_itself_when_there_is_room_again(
    on_small_disk: tuple[LoadstoneRun, SmallDisk], counting_server: CountingServer
):
    run, disk = on_small_disk
    fill_in_mid_run(run, disk, counting_server)
    disk.make_room()
    before = counting_server.count().total
    run.wait_for(lambda: counting_server.count().total > before + 300 or None)
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    assert TOLD in run.output
    assert "archive: in order again" in run.output
    assert archived(run) == (counting_server.count().total,) * 2
    (event,) = [event for event in run.events() if event["kind"] == "storage_failed"]
    assert "No space left" in event["data"]["text"]
    assert event["data"]["lasted_s"] > 0
    assert not run.left_behind()


@pytest.mark.attack(
    "a whole run is killed with all its parts on a full disk",
    "recover finds the stream and archives all that reached it",
)
def test_a_run_that_is_killed_with_all_its_parts_on_a_full_disk_is_found_and_archived(
    on_small_disk: tuple[LoadstoneRun, SmallDisk], new_run: Any, counting_server: CountingServer
):
    run, disk = on_small_disk
    fill_in_mid_run(run, disk, counting_server)
    run.kill_everything()
    received = counting_server.count().total
    disk.make_room()
    assert len(run.kept_streams()) == 1
    recovery = recovered(new_run, run, "latest")
    assert recovery.run() == 3, recovery.output
    ledger = run.run_json()["ledgers"]["archive"]
    assert run.rows() == ledger["stored"] > 500, "what came while the disk was full is there"
    assert ledger["stored"] <= received <= ledger["stored"] + ledger["unknown"]
    assert not run.kept_streams()
