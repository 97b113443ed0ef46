"""What has no right to change a run changes nothing: forged, replayed, misdirected and late entries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.domain.event import EventKind
from loadstone.stream.inbox import LONGEST_ENTRY
from loadstone.stream.keys import (
    AGGREGATORS,
    BLOB,
    DEAD_LETTERS,
    EVENTS,
    KEPT_S,
    OPEN_RUNS,
    RUN,
    SAMPLES,
    USAGE,
    inbox,
    live,
    run_secret,
)
from loadstone.stream.proof import RunSecret, open_run
from support.collecting import STREAMS, secret_of, send_blob
from support.deployment import Deployment, step, whole_run, work
from support.processes import wait_until
from support.redis_server import RedisServer
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry
    from loadstone.collector.aggregator import Aggregator

OTHER = RunSecret("r", bytes(32))
"""What somebody who does not know the secret of run r makes up."""


def element(entry: Entry, secret: RunSecret, *, run: str | None = None, stream: str | None = None) -> bytes:
    """The element of an inbox, with the proof of a run and stream that may not be those it is sent to."""
    to = (secret.run if run is None else run).encode()
    return bytes((1, len(to))) + secret.mac(stream or STREAMS[entry.kind], entry.blob) + to + entry.blob


def file_states(deployment: Deployment) -> dict[str, tuple[int, int]]:
    """Every file of every run that is closed, with its size and when it was written."""
    files = [path for path in deployment.results.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def reasons(deployment: Deployment) -> list[str]:
    return [letter["reason"].decode() for letter in deployment.dead_letters()]


def closed_run(deployment: Deployment) -> Aggregator:
    aggregator = deployment.start()
    deployment.send(whole_run().entries)
    work(aggregator, deployment)
    assert deployment.document()["verdict"] == "pass"
    return aggregator


def open_run_of(deployment: Deployment) -> Aggregator:
    aggregator = deployment.start()
    deployment.send(whole_run().entries[:8])
    deployment.set_time(4)
    work(aggregator, deployment)
    assert set(aggregator.runs) == {"r"}
    return aggregator


@pytest.fixture(scope="module", params=["closed", "open"])
def attacked(
    request: pytest.FixtureRequest, valkey_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A run, closed or open, that no test changes: that is what they are about."""
    folder = tmp_path_factory.mktemp("attacked")
    server = RedisServer(valkey_binary, folder / "valkey").start()
    made = Deployment(server.url, folder / "results")
    for name in ("s", "../x", "a/b", ".", ""):  # s may be opened; the others are refused even if somebody opened them
        open_run(made.client, secret_of(name))
    (closed_run if request.param == "closed" else open_run_of)(made)
    yield made
    made.aggregators[0].close()
    made.client.close()
    server.close()


def a_batch(**changes: object) -> Entry:
    return RunMaker().add(replace(IncarnationMaker(9).batch(samples(10, 0, 1)), **changes)).entries[0]


def an_event(kind: EventKind = EventKind.TARGET_EXITED, run: str = "r", at_s: float = 2.0, **data: object) -> Entry:
    return RunMaker(run, events=50).event(kind, at_s, **data).entries[0]


FORGED = {
    "an event with another key": (EVENTS, element(an_event(), OTHER)),
    "a batch with another key": (SAMPLES, element(a_batch(), OTHER)),
    "an event without a key": (EVENTS, bytes((1, 1)) + bytes(32) + b"r" + an_event().blob),
    "an event that was sent as a batch": (SAMPLES, element(an_event(), secret_of(), stream=EVENTS)),
    "a batch that was sent as an event": (EVENTS, element(a_batch(), secret_of(), stream=SAMPLES)),
    "an event with the key of another run": (EVENTS, element(an_event(), secret_of("s"), run="r")),
    "a batch with the key of another run": (SAMPLES, element(a_batch(), secret_of("s"), run="r")),
    "an event that says to be of another run": (EVENTS, element(an_event(run="r"), secret_of("s"))),
    "a batch that says to be of another run": (SAMPLES, element(a_batch(run="r"), secret_of("s"))),
    "an event with a flipped bit": (EVENTS, element(an_event(), secret_of())[:-1] + b"~"),
    "a MAC that was cut": (EVENTS, element(an_event(), secret_of())[:2] + element(an_event(), secret_of())[10:]),
    "an unknown version": (EVENTS, b"\x02" + element(an_event(), secret_of())[1:]),
    "one byte": (EVENTS, b"\x01"),
    "nothing": (SAMPLES, b""),
    "a length beyond its end": (SAMPLES, b"\x01\xff" + bytes(40)),
    "a run id that is a path": (EVENTS, element(an_event(run="../x"), secret_of("../x"))),
    "a run id that is a folder": (EVENTS, element(an_event(run="a/b"), secret_of("a/b"))),
    "a run id that is a dot": (EVENTS, element(an_event(run="."), secret_of("."))),
    "no run id": (EVENTS, element(an_event(run=""), secret_of(""))),
    "a run id that is not UTF-8": (EVENTS, bytes((1, 2)) + bytes(32) + b"\xff\xfe" + an_event().blob),
    "an element longer than any batch": (SAMPLES, bytes(LONGEST_ENTRY + 1)),
}


@pytest.mark.parametrize(("stream", "forged"), FORGED.values(), ids=FORGED.keys())
@pytest.mark.attack("forged entries", "dead letter; verdict, files and InfluxDB as before")
def test_a_forged_entry_changes_no_run(attacked: Deployment, stream: str, forged: bytes):
    (aggregator,) = attacked.aggregators
    before = file_states(attacked), attacked.client.smembers(OPEN_RUNS), aggregator.admission.refused
    attacked.client.rpush(inbox(stream), forged)
    work(aggregator, attacked)
    assert (file_states(attacked), attacked.client.smembers(OPEN_RUNS), aggregator.admission.refused - 1) == before
    assert len(reasons(attacked)) == aggregator.admission.refused
    assert [path.name for path in attacked.results.iterdir()] == ["r"]


@pytest.mark.attack("forged run", "no folder; dead letter when half a minute is over")
def test_a_run_that_no_master_has_opened_gets_no_folder(deployment: Deployment):
    aggregator = deployment.start()
    for entry in whole_run().entries:
        send_blob(deployment.client, STREAMS[entry.kind], entry.blob)
    step(aggregator)
    step(aggregator)
    assert reasons(deployment) == []
    deployment.time.monotonic_s += 31
    work(aggregator, deployment)
    assert set(reasons(deployment)) == {"no master has opened its run"}
    assert len(reasons(deployment)) == len(whole_run().entries)
    assert not deployment.results.exists()


@pytest.mark.attack("entries that an older version left in the streams", "dead letter that says so")
def test_entries_of_an_older_version_are_told_as_such(deployment: Deployment):
    """It put them into the streams itself, without a proof. The changelog says to finish runs before an update."""
    aggregator, entries = deployment.start(), whole_run().entries
    for entry in entries:
        deployment.client.xadd(STREAMS[entry.kind], {RUN: "r", BLOB: entry.blob})
    for _ in range(2):  # the first pass of a consumer reads what it had before
        step(aggregator)
    assert aggregator.admission.refused == len(entries)
    assert set(reasons(deployment)) == {
        "it has no proof of its run: an older version of loadstone sent it, and runs must be finished before an update"
    }
    (trouble,) = aggregator.admission.troubles()
    assert f"{len(entries)} entries were refused" in trouble.text


def test_entries_that_come_before_the_secret_of_their_run_are_not_lost(deployment: Deployment):
    """Only the master could not reach Redis."""
    aggregator, entries = deployment.start(), whole_run().entries
    for entry in entries:
        if entry.kind is EntryKind.SAMPLES:
            send_blob(deployment.client, SAMPLES, entry.blob)
    for _ in range(3):
        step(aggregator)
    assert not deployment.results.exists()
    assert deployment.client.xpending(SAMPLES, AGGREGATORS)["pending"] == 8
    deployment.time.monotonic_s += 29
    deployment.send([entry for entry in entries if entry.kind is EntryKind.EVENTS])
    work(aggregator, deployment)
    assert deployment.rows() == 60
    assert reasons(deployment) == []


def test_entries_that_came_just_before_the_secret_are_not_left_behind_by_those_just_after_it(deployment: Deployment):
    """On a busy machine a worker's first batch overtakes its master's first event."""
    aggregator, entries = deployment.start(), whole_run().entries
    early = next(entry for entry in entries if entry.kind is EntryKind.SAMPLES)
    send_blob(deployment.client, SAMPLES, early.blob)
    for _ in range(3):
        step(aggregator)
    assert aggregator.admission.waiting
    deployment.send([entry for entry in entries if entry is not early])
    wait_until(lambda: step(aggregator) or bool(aggregator.runs), "the run is open")
    deployment.time.monotonic_s += 0.5
    step(aggregator)
    assert not aggregator.closing
    assert not deployment.results.joinpath("r", "run.json").exists(), "nothing closes a run of which an entry waits"
    deployment.time.monotonic_s += 1
    work(aggregator, deployment)
    assert deployment.ledger() == (60, 60, 0, 0)
    assert reasons(deployment) == []
    assert not aggregator.admission.waiting


def test_entries_of_many_runs_that_nobody_opened_wait_in_a_bounded_table(deployment: Deployment):
    aggregator = deployment.start()
    for number in range(300):
        send_blob(deployment.client, SAMPLES, b"x", f"run-{number}")
    for _ in range(3):
        step(aggregator)
    assert len(aggregator.admission.waiting) == 100
    assert len(reasons(deployment)) == 200


@pytest.mark.attack("replayed entries", "dead letter; nothing changes")
def test_a_closed_run_takes_nothing_a_second_time(deployment: Deployment):
    aggregator = closed_run(deployment)
    before = file_states(deployment)
    deployment.send(whole_run().entries)
    work(aggregator, deployment)
    assert file_states(deployment) == before
    assert reasons(deployment) == ["its run is closed"] * len(whole_run().entries)


def test_a_closed_run_is_read_once_however_much_of_it_is_refused(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    """Reading the events of a long run takes longer than one pass of the Aggregator may."""
    aggregator, opened, real = closed_run(deployment), [], ClosedRun.open
    monkeypatch.setattr(ClosedRun, "open", lambda folder: opened.append(folder) or real(folder))
    for _ in range(5):
        deployment.send(whole_run().entries)
    work(aggregator, deployment)
    assert len(reasons(deployment)) == 5 * len(whole_run().entries)
    assert len(opened) == 1


def test_what_is_replayed_into_an_open_run_counts_once(deployment: Deployment):
    aggregator, entries = deployment.start(), whole_run().entries
    for _ in range(3):
        deployment.send(entries[:8])
    work(aggregator, deployment)
    deployment.send(entries)
    work(aggregator, deployment)
    assert (deployment.rows(), deployment.ledger()) == (60, (60, 60, 0, 0))
    assert deployment.document()["verdict"] == "pass"


LATE = {
    "interrupted": an_event(EventKind.INTERRUPTED),
    "target exited": an_event(EventKind.TARGET_EXITED, code=1),
    "target exited while users ran": an_event(EventKind.TARGET_EXITED, at_s=1.0, code=1),
    "exited": an_event(EventKind.EXITED, code=1, chosen=True),
    "exited, observed": an_event(EventKind.EXITED, code=1, observed=True),
    "stopped with other totals": an_event(EventKind.STOPPED, requests=7),
    "worker lost": an_event(EventKind.WORKER_LOST, worker=1),
    "exception": an_event(EventKind.EXCEPTION, message="boom", count=3),
    "started": an_event(EventKind.STARTED, objectives=["p95<1us"]),
    "batch of an incarnation that has ended": a_batch(incarnation="boot-1", worker=1, seq=77),
}


@pytest.mark.parametrize("attacked", ["closed"], indirect=True)
@pytest.mark.parametrize("entry", LATE.values(), ids=LATE.keys())
@pytest.mark.attack("late entries with the right secret", "dead letter; verdict and files of a closed run as before")
def test_a_closed_run_that_lacks_nothing_takes_nothing(attacked: Deployment, entry: Entry):
    before = file_states(attacked)
    attacked.send([entry])
    work(attacked.aggregators[0], attacked)
    assert file_states(attacked) == before
    assert reasons(attacked)[-1] == "its run is closed"


def test_a_run_that_was_closed_without_its_exit_code_takes_it_when_it_comes(deployment: Deployment):
    """The process that started it may need longer than the run waits, and its code may say that the run failed."""
    aggregator = deployment.start()
    run = whole_run().entries
    run[0] = RunMaker().event(EventKind.STARTED, 0, users=5, workers=2, exit_from="command").entries[0]
    deployment.send(run)
    deployment.set_time(60)
    work(aggregator, deployment)
    first = deployment.document()
    assert (first["verdict"], first["scenario_exit_code"]) == ("inconclusive", None)
    deployment.send([an_event(EventKind.EXITED, at_s=60.0, code=7, chosen=True, observed=True)])
    work(aggregator, deployment)
    second = deployment.document()
    assert (second["verdict"], second["scenario_exit_code"]) == ("fail", 7)
    deployment.send([an_event(EventKind.INTERRUPTED)])
    work(aggregator, deployment)
    assert deployment.document() == second
    assert reasons(deployment) == ["its run is closed"]


def test_a_run_that_was_closed_without_its_master_takes_its_end_when_the_master_is_back(deployment: Deployment):
    aggregator, entries = deployment.start(), whole_run().entries
    end = [entry for entry in entries if b'"stopp' in entry.blob]
    deployment.send([entry for entry in entries if entry not in end])
    deployment.set_time(60)
    work(aggregator, deployment)
    assert deployment.document()["verdict"] == "inconclusive"
    deployment.send(end)
    work(aggregator, deployment)
    assert deployment.document()["verdict"] == "pass"
    assert reasons(deployment) == []


@pytest.mark.parametrize("counted", [None, 3], ids=["its worker was away", "Locust counted more"])
def test_a_run_that_lacks_exceptions_takes_them_when_they_come(deployment: Deployment, counted: int | None):
    """They come before the batches of a worker that is back, and of one that has ended they may come alone."""
    aggregator, run = deployment.start(), RunMaker().started(workers=[1])
    worker = IncarnationMaker(1)
    run.add(worker.batch(samples(10, 0, 1))).stopped(1, requests=10, **({"exceptions": counted} if counted else {}))
    last = RunMaker(events=50).event(EventKind.EXCEPTION, 1, message="boom", count=3, node="n", worker=1)
    (run if counted else last).add(worker.batch(at_s=1, final=True))
    deployment.send(run.entries)
    deployment.set_time(60)
    work(aggregator, deployment)
    assert deployment.document()["exceptions"] == 0
    deployment.send(last.entries)
    work(aggregator, deployment)
    assert deployment.document()["exceptions"] == 3
    assert reasons(deployment) == []
    deployment.send(RunMaker(events=51).event(EventKind.EXCEPTION, 1, message="boom", worker=1).entries)
    work(aggregator, deployment)
    assert deployment.document()["exceptions"] == 3
    assert reasons(deployment) == ["its run is closed"]


@pytest.mark.attack("the event that starts a run is refused, or lost", "inconclusive with the reason, and told")
@pytest.mark.parametrize("is_lost", [False, True], ids=["refused", "lost"])
def test_a_run_whose_start_did_not_come_is_inconclusive(deployment: Deployment, is_lost: bool):
    """Its secret is there, so its master has opened it; but nobody knows the objectives that it was started with."""
    aggregator, (started, *rest) = deployment.start(), whole_run().entries
    started = started._replace(blob=started.blob.replace(b'"users":', b'"users":999999999999'))
    deployment.send(rest if is_lost else [started, *rest])
    wait_until(lambda: bool(step(aggregator) or deployment.client.exists(live("r"))), "the run is shown")
    told = [each["text"] for each in deployment.live().get("troubles", ())]
    assert ["1 entries were refused" in text for text in told] == ([] if is_lost else [True])
    work(aggregator, deployment)
    document = deployment.document()
    assert (document["verdict"], document["exit_code"], document["requests"]) == ("inconclusive", 3, 60)
    assert [
        "the event that starts the run, which holds its objectives, is missing" in reason
        for reason in document["reasons"]
    ] == [True]


def test_the_secret_of_a_run_is_in_no_file_and_ends_some_time_after_it(deployment: Deployment):
    closed_run(deployment)
    key = secret_of().key
    for path in deployment.results.rglob("*"):
        assert path.is_dir() or (key not in path.read_bytes() and key.hex().encode() not in path.read_bytes())
    assert 0 < deployment.client.ttl(run_secret("r")) <= KEPT_S
    assert key not in b"".join(entry.blob for entry in read_journal(RunFolder(deployment.results / "r").journal))


def test_the_secret_of_a_run_that_is_open_again_does_not_expire(deployment: Deployment):
    """It may wait for its folder for longer than that, and its entries with it."""
    aggregator, entries = deployment.start(), whole_run().entries
    deployment.send(entries[:-1])
    deployment.set_time(60)
    work(aggregator, deployment)
    assert deployment.client.ttl(run_secret("r")) > 0
    deployment.send(entries[-1:])
    step(aggregator)
    assert set(aggregator.runs) == {"r"}
    assert deployment.client.ttl(run_secret("r")) == -1
    work(aggregator, deployment)
    assert deployment.client.ttl(run_secret("r")) > 0


def test_what_was_refused_is_counted_logged_within_bounds_and_told(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
):
    aggregator = deployment.start()
    deployment.send(whole_run().entries[:6])
    for _ in range(200):
        deployment.client.rpush(inbox(EVENTS), element(an_event(), OTHER))
    step(aggregator)
    step(aggregator)
    assert aggregator.admission.refused == 200
    assert sum("dead_letter=yes" in record.message for record in caplog.records) == 10
    (trouble,) = deployment.live()["troubles"]
    assert "200 entries were refused" in trouble["text"]
    deployment.time.monotonic_s += 61
    step(aggregator)
    assert deployment.live()["troubles"] == []


def test_of_a_long_entry_its_beginning_is_kept_as_a_dead_letter(deployment: Deployment):
    aggregator = deployment.start()
    open_run(deployment.client, secret_of())
    send_blob(deployment.client, SAMPLES, bytes(3_000_000))
    work(aggregator, deployment)
    ((_, letter),) = deployment.client.xrange(DEAD_LETTERS)
    assert 1000 < len(letter[b"b"]) < 100_000


def test_usage_needs_no_run(deployment: Deployment):
    aggregator = deployment.start()
    send_blob(deployment.client, USAGE, RunMaker().usage(1).entries[0].blob)
    work(aggregator, deployment)
    assert reasons(deployment) == []


def test_a_run_that_nobody_could_reach_is_not_closed_before_its_senders_are_back(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    """The end of its master would then be that of a closed run."""
    aggregator, entries = open_run_of(deployment), whole_run().entries
    deployment.set_time(600)
    deployment.time.monotonic_s += 600
    with monkeypatch.context() as patch:
        patch.setattr(aggregator.consumer, "read", unreachable)
        with pytest.raises(ConnectionError):
            aggregator.step()
    aggregator.forget_unsynced()  # as the service does after a failure
    deployment.time.monotonic_s += 20
    step(aggregator)
    assert set(aggregator.runs) == {"r"}
    deployment.send(entries[8:])
    work(aggregator, deployment)
    assert (deployment.rows(), reasons(deployment)) == (60, [])


def unreachable(**_: object) -> None:
    raise ConnectionError("the server is away")
