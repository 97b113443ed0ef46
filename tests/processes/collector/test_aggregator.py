"""The Aggregator on a real Valkey: everything counts once, even if entries are repeated and processes die."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from loadstone.archive.journal.frame import EntryKind
from loadstone.collector.service import _AggregatorService, serve_aggregator, start_finalizer
from loadstone.domain.usage_tick import Usage
from loadstone.errors import ArchiveError
from loadstone.settings import CollectorSettings, load
from loadstone.stream.keys import AGGREGATOR_LEASE, AGGREGATORS, EVENTS, SAMPLES, USAGE
from loadstone.stream.lease import Lease
from loadstone.stream.proof import open_run
from support.collecting import secret_of, send_blob
from support.deployment import finish, reads_on, step, whole_run, work
from support.full_disk import files_no_larger_than
from support.processes import wait_until
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.deployment import Deployment
    from support.redis_server import RedisServer


def test_a_run_is_not_closed_while_its_backlog_is_still_coming_in(deployment: Deployment):
    aggregator = deployment.start()
    deployment.set_time(3600)  # the stream was away for an hour
    entries = whole_run().entries
    late = [entry for entry in entries if entry.kind is EntryKind.SAMPLES]
    deployment.send([entry for entry in entries if entry.kind is not EntryKind.SAMPLES])
    for _ in range(3):
        step(aggregator)
    assert "r" in aggregator.runs
    deployment.send(late)
    work(aggregator, deployment)
    assert deployment.rows() == 60


def test_a_run_is_archived_and_closed_when_all_its_incarnations_have_ended(deployment: Deployment):
    deployment.finalize = start_finalizer
    aggregator = deployment.start()
    deployment.send(whole_run().entries)
    work(aggregator, deployment)
    assert deployment.rows() == 60
    assert deployment.document()["ledgers"]["archive"]["stored"] == 60
    assert (deployment.live()["closed"], deployment.live()["requests"]) == (True, 60)
    assert aggregator.runs == {}
    assert deployment.client.xlen(SAMPLES) == 0, "what is archived is cut from the stream"


def test_a_batch_sent_twice_counts_once(deployment: Deployment):
    aggregator = deployment.start()
    entries = whole_run().entries
    deployment.send(entries[:-1])
    deployment.send(entries)
    work(aggregator, deployment)
    assert deployment.rows() == 60
    assert deployment.document()["ledgers"]["archive"]["produced"] == 60
    assert aggregator.runs == {}


def test_usage_belongs_to_every_run_that_is_open(deployment: Deployment):
    aggregator = deployment.start()
    for name in ("a", "b"):
        deployment.send(RunMaker(run=name).started().entries, name)
    work(aggregator, deployment)
    deployment.send(RunMaker().usage(1, Usage(service="target", container="pid-7", cpu_cores=0.5)).entries, "")
    work(aggregator, deployment)
    assert [deployment.live(name)["usage"][0]["cpu_cores"] for name in ("a", "b")] == [0.5, 0.5]


def test_what_is_wrong_with_usage_is_in_the_live_snapshot_until_the_sampler_takes_it_back_or_falls_silent(
    deployment: Deployment,
):
    aggregator = deployment.start()
    run = RunMaker().started()

    def troubles_after(at_s: float) -> list[dict[str, Any]]:
        deployment.set_time(at_s)
        deployment.send(run.entries)
        run.entries.clear()
        step(aggregator)
        wait_until(lambda: reads_on(aggregator, deployment), "everything is read and acknowledged")
        step(aggregator)
        return list(deployment.live()["troubles"])

    run.usage(1, problem="cAdvisor knows no container").usage(2, problem="cAdvisor knows no container")
    (trouble,) = troubles_after(3)
    assert trouble == {"part": "usage", "text": "cAdvisor knows no container", "since_ns": START + SECOND}
    run.usage(4, Usage(service="target", container="target-1", cpu_cores=0.5))
    assert troubles_after(5) == []
    run.usage(6, problem="cAdvisor knows no container")
    assert len(troubles_after(7)) == 1
    assert troubles_after(17) == []


def test_kills_are_added_up_in_the_live_snapshot(deployment: Deployment):
    aggregator = deployment.start()
    run = RunMaker().started()
    for second, kills in enumerate((0, 2, 0, 1, 0)):
        run.usage(second, Usage(service="target", container="target-1", cpu_cores=0.5, oom=kills))
    deployment.send(run.entries)
    step(aggregator)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read and acknowledged")
    step(aggregator)
    assert deployment.live()["usage"][0]["oom"] == 3


@pytest.mark.attack("an entry that cannot be understood", "a dead letter with the reason; the rest is stored")
@pytest.mark.parametrize(
    ("stream", "blob", "reason"),
    [
        (SAMPLES, b"", "not a batch"),
        (SAMPLES, b"\xff\x00 nonsense", "not a batch"),
        (EVENTS, b"{}", "not an event"),
        (USAGE, b"[1", "not a usage tick"),
    ],
)
def test_what_cannot_be_understood_is_put_aside_with_the_reason_and_the_rest_is_stored(
    deployment: Deployment, stream: str, blob: bytes, reason: str
):
    aggregator = deployment.start()
    entries = whole_run().entries
    deployment.send(entries[:4])
    send_blob(deployment.client, stream, blob)
    deployment.send(entries[4:])
    work(aggregator, deployment)
    (letter,) = deployment.dead_letters()
    assert (letter["stream"].decode(), letter["b"]) == (stream, blob)
    assert reason in letter["reason"].decode()
    assert deployment.rows() == 60
    assert [path.name for path in deployment.results.iterdir()] == ["r"]


def test_an_entry_without_any_field_that_is_known_is_put_aside(deployment: Deployment):
    aggregator = deployment.start()
    deployment.client.xadd(SAMPLES, {"something": "else"})
    work(aggregator, deployment)
    assert len(deployment.dead_letters()) == 1


def test_what_is_put_aside_does_not_grow_without_bound(deployment: Deployment):
    aggregator = deployment.start()
    open_run(deployment.client, secret_of())
    for number in range(1500):
        send_blob(deployment.client, SAMPLES, b"nonsense %d" % number)
    work(aggregator, deployment)
    letters = deployment.dead_letters()
    assert 1000 <= len(letters) < 1200
    assert letters[-1]["b"] == b"nonsense 1499"


def test_an_aggregator_started_anew_goes_on_with_open_runs(deployment: Deployment):
    entries = whole_run().entries
    first = deployment.start()
    deployment.send(entries[:6])
    work(first, deployment)
    first.close()
    second = deployment.start()
    assert set(second.runs) == {"r"}
    assert second.runs["r"].state.ledger(deployment.time.now_ns).stored == 20
    deployment.send(entries[6:])
    work(second, deployment)
    assert deployment.rows() == 60


def test_what_was_read_and_not_acknowledged_when_it_died_is_read_again_and_counts_once(deployment: Deployment):
    entries = whole_run().entries
    first = deployment.start()
    deployment.send(entries[:6])
    first._due_s = deployment.time.monotonic_s + 3600
    for _ in range(2):  # what an earlier life left pending comes first: nothing
        first.step()
    assert deployment.client.xpending(SAMPLES, AGGREGATORS)["pending"] == 2
    for run in first.runs.values():
        run.journal.sync()  # the journal has them, the stream does not know
    first.close()
    second = deployment.start()
    deployment.send(entries[6:])
    work(second, deployment)
    assert deployment.rows() == 60
    assert deployment.document()["ledgers"]["archive"]["produced"] == 60


def test_a_late_batch_has_the_run_closed_again_with_the_right_total(deployment: Deployment):
    run, early, late = RunMaker().started(workers=(0, 1)), IncarnationMaker(0), IncarnationMaker(1)
    run.add(early.batch(samples(10, 0, 1))).add(late.batch(samples(10, 0, 1)))
    run.stopped(2, requests=30).add(early.batch(at_s=2, final=True))
    aggregator = deployment.start()
    deployment.send(run.entries)
    deployment.set_time(18)  # a second worker is missing; the run closes without it 15 s after its end
    work(aggregator, deployment)
    first = deployment.document()
    assert (deployment.rows(), first["requests"]) == (20, 20)
    deployment.set_time(19)
    deployment.send(RunMaker().add(late.batch(samples(10, 1, 2))).add(late.batch(at_s=2, final=True)).entries)
    work(aggregator, deployment)
    second = deployment.document()
    assert (deployment.rows(), second["requests"]) == (30, 30)
    assert deployment.ledger() == (30, 30, 0, 0)
    assert second["closed_at"] == first["closed_at"]
    assert aggregator.runs == {}
    assert deployment.live()["requests"] == 30


def test_a_run_whose_master_fell_silent_is_closed_as_master_lost(deployment: Deployment):
    aggregator = deployment.start()
    deployment.send(whole_run().entries[:6])
    deployment.set_time(28)
    work(aggregator, deployment)
    assert set(aggregator.runs) == {"r"}
    deployment.set_time(40)
    work(aggregator, deployment)
    assert aggregator.runs == {}
    document = deployment.document()
    assert document["verdict"] == "inconclusive"
    assert any("master lost" in reason for reason in document["reasons"])


@contextmanager
def serving(url: str, results: Path) -> Iterator[threading.Event]:
    """An Aggregator that serves in a thread, until the event is set."""
    stop = threading.Event()
    settings = load(CollectorSettings, {"redis_url": url, "results": str(results)}, environ={})
    thread = threading.Thread(target=serve_aggregator, args=(settings, stop.is_set))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def failing_fsync(_fd: int) -> None:
    raise OSError(28, "No space left on device")


_close = os.close


def failing_close(fd: int) -> None:
    """Close it, and report that writing what was in it failed, as some file systems do."""
    is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    _close(fd)
    if is_file:
        raise OSError(5, "Input/output error")


def test_an_aggregator_whose_runs_cannot_be_closed_gives_up_all_of_them(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    aggregator = deployment.start()
    for name in ("a", "b"):
        deployment.send(RunMaker(run=name).started().entries, name)
    work(aggregator, deployment)
    runs = list(aggregator.runs.values())
    for run in runs:
        run.journal.append(EntryKind.EVENTS, "1-0", b"not synced")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        with pytest.raises(ArchiveError, match="results/a/journal"):
            aggregator.close()
    assert aggregator.runs == {}
    for run in runs:
        with run.folder.lock(), pytest.raises(ArchiveError, match="is closed"):
            run.journal.append(EntryKind.EVENTS, "1-0", b"")


def test_an_aggregator_that_lost_its_lease_is_not_used_again_although_closing_it_fails(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    settings = load(CollectorSettings, {"redis_url": deployment.url, "results": str(deployment.results)}, environ={})
    service = _AggregatorService(settings, deployment.client, None, "superseded")
    service.run_once()
    deployment.send(RunMaker().started().entries)
    wait_until(lambda: service.run_once() or deployment.finished(), "the run is open and synced")
    assert service.aggregator is not None
    (run,) = service.aggregator.runs.values()
    run.journal.append(EntryKind.EVENTS, "1-0", b"not synced")
    deployment.client.hset(AGGREGATOR_LEASE, "holder", "another")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        service.run_once()
    assert service.aggregator is None


def closed(deployment: Deployment, run: str = "r") -> bool:
    return (deployment.results / run / "run.json").exists()


def test_a_second_aggregator_waits_for_the_lease_and_takes_over_when_the_first_is_gone(deployment: Deployment):
    entries = whole_run().entries
    elsewhere = deployment.results.parent / "elsewhere"
    with serving(deployment.url, elsewhere) as first:
        wait_until(lambda: deployment.client.exists(AGGREGATOR_LEASE) == 1, "the first one holds the lease")
        with serving(deployment.url, deployment.results):
            deployment.send(entries[:6])
            wait_until(lambda: deployment.client.smembers("open_runs") == {b"r"}, "the first one has the run")
            assert not deployment.results.exists(), "the second one does nothing"
            first.set()
            wait_until(
                lambda: not deployment.client.exists(AGGREGATOR_LEASE) or deployment.results.exists(), "it has let go"
            )
            deployment.send(RunMaker(run="s").started().entries, "s")
            wait_until((deployment.results / "s").is_dir, "the second one takes over")
    assert (elsewhere / "r" / "journal").is_dir()


def test_the_lease_of_a_holder_that_died_ends_by_itself(deployment: Deployment):
    Lease(deployment.client, AGGREGATOR_LEASE, "a dead one", life_ms=1500).take()
    with serving(deployment.url, deployment.results):
        deployment.send(whole_run().entries)
        wait_until(deployment.results.exists, "the aggregator begins")
        assert deployment.client.hget(AGGREGATOR_LEASE, "holder") != b"a dead one"
        wait_until(lambda: closed(deployment) and deployment.rows() == 60, "all of the run is closed")


def test_a_full_disk_acknowledges_nothing_and_everything_is_stored_when_there_is_space(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
):
    entries = whole_run(incarnations=2, seconds=20, per_second=200).entries
    with serving(deployment.url, deployment.results):
        with files_no_larger_than(16_000):
            deployment.send(entries)
            wait_until(lambda: "nothing_lost=yes" in caplog.text, "it says that it waits")
            wait_until(lambda: bool(deployment.live()["troubles"]), "the live snapshot says so too")
            assert deployment.client.xlen(SAMPLES) > 20
            assert not closed(deployment)
        wait_until(lambda: closed(deployment), "the run is closed", timeout_s=20)
        wait_until(deployment.finished, "everything is acknowledged")
    assert deployment.rows() == 8000
    assert deployment.ledger() == (8000, 8000, 0, 0)


def test_a_stream_that_goes_away_is_waited_for(
    valkey: RedisServer, deployment: Deployment, caplog: pytest.LogCaptureFixture
):
    entries = whole_run().entries
    with serving(deployment.url, deployment.results):
        deployment.send(entries[:6])
        wait_until((deployment.results / "r").is_dir, "the run is open")
        valkey.kill()
        wait_until(lambda: "nothing_lost=yes" in caplog.text, "it says that it waits")
        valkey.start()
        deployment.send(entries[6:])
        # by the clock on the wall these events are old, so the run may be closed before the rest comes, and again then
        wait_until(lambda: closed(deployment) and deployment.rows() == 60, "all of the run is closed", timeout_s=20)
    assert deployment.ledger() == (60, 60, 0, 0)


def test_a_run_that_is_being_closed_is_shown_so_and_announced_once_it_has_its_files(deployment: Deployment):
    deployment.finalize = start_finalizer
    aggregator = deployment.start()
    deployment.send(whole_run().entries)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read")
    deployment.time.monotonic_s += 60
    step(aggregator)
    step(aggregator)
    assert (deployment.live()["closing"], deployment.live()["closed"]) == (True, False)
    assert deployment.client.smembers("open_runs") == {b"r"}
    wait_until(lambda: finish(aggregator), "the run is closed", timeout_s=60)
    assert (deployment.live()["closing"], deployment.live()["closed"]) == (False, True)
    assert deployment.client.smembers("open_runs") == set()


def test_a_run_whose_journal_could_not_be_closed_is_opened_again_and_closed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    aggregator = deployment.start()
    deployment.send(whole_run().entries)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read")
    deployment.time.monotonic_s += 60
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", failing_close)
        step(aggregator)
    assert aggregator.runs == {}
    assert "run=r state=set_aside" in caplog.text
    for _ in range(2):  # it is opened again, and then closed
        work(aggregator, deployment)
    assert deployment.rows() == 60


@pytest.mark.parametrize("refused", ["set", "srem"])
def test_a_closed_run_is_announced_although_the_stream_failed_at_first(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, refused: str
):
    aggregator = deployment.start()
    deployment.send(whole_run().entries)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read")
    deployment.time.monotonic_s += 60
    step(aggregator)
    assert set(aggregator.closing) == {"r"}

    def fail(*_: object, **__: object) -> None:
        raise redis.TimeoutError("once")

    with monkeypatch.context() as patch:
        patch.setattr(deployment.client, refused, fail)
        with pytest.raises(redis.TimeoutError):
            wait_until(lambda: finish(aggregator), "the run is closed", timeout_s=60)
    aggregator.forget_unsynced()
    wait_until(lambda: finish(aggregator), "it is announced")
    assert deployment.live()["closed"]
    assert deployment.client.smembers("open_runs") == set()


def test_what_comes_for_a_run_while_it_is_being_closed_is_read_again_afterwards(deployment: Deployment):
    deployment.finalize = start_finalizer
    run, early, late = RunMaker().started(workers=(0, 1)), IncarnationMaker(0), IncarnationMaker(1)
    run.add(early.batch(samples(10, 0, 1))).add(late.batch(samples(10, 0, 1)))
    run.stopped(2, requests=30).add(early.batch(at_s=2, final=True))
    aggregator = deployment.start()
    deployment.send(run.entries)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read")
    deployment.set_time(18)
    deployment.time.monotonic_s += 60
    step(aggregator)
    deployment.send(RunMaker().add(late.batch(samples(10, 1, 2))).add(late.batch(at_s=2, final=True)).entries)
    step(aggregator)
    assert set(aggregator.closing) == {"r"}
    left = deployment.client.xpending(SAMPLES, AGGREGATORS)["pending"]
    assert left == 2, "they are not lost if the Aggregator dies now"
    wait_until(lambda: finish(aggregator), "the run is closed", timeout_s=60)
    assert deployment.document()["requests"] == 20
    work(aggregator, deployment)
    assert deployment.document()["requests"] == deployment.rows() == 30
    assert deployment.ledger() == (30, 30, 0, 0)


def test_of_many_runs_that_are_complete_together_two_are_closed_at_a_time(deployment: Deployment):
    deployment.finalize = start_finalizer
    aggregator = deployment.start()
    runs = [f"r{number}" for number in range(5)]
    for run in runs:
        made = RunMaker(run).started(workers=(0,)).add(IncarnationMaker(run=run).batch(samples(10, 0, 1), final=True))
        deployment.send(made.stopped(1, requests=10).entries, run)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read")
    deployment.time.monotonic_s += 60
    at_work: list[int] = []

    def go_on() -> bool:
        step(aggregator)
        at_work.append(sum(each.finalizer.pid is not None for each in aggregator.closing.values()))
        return not aggregator.closing and not aggregator.runs

    wait_until(go_on, "all of them are closed", timeout_s=60)
    assert max(at_work) == 2
    assert [deployment.rows(run) for run in runs] == [10] * 5


def test_an_aggregator_that_is_started_while_a_run_is_being_closed_closes_it(deployment: Deployment):
    deployment.finalize = start_finalizer
    first = deployment.start()
    deployment.send(whole_run().entries)
    wait_until(lambda: reads_on(first, deployment), "everything is read")
    deployment.time.monotonic_s += 60
    step(first)
    assert set(first.closing) == {"r"}
    first.close()
    work(deployment.start(), deployment)
    assert deployment.rows() == 60
    assert deployment.live()["closed"]
