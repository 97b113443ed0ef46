"""One cap of request names: archive, live state and InfluxDB agree name by name, in the order of the journal."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.archive.run_state import RunState
from loadstone.collector.service import serve_aggregator
from loadstone.domain.batch import decode_batch
from loadstone.domain.event import Event, NamesCapped, encode_event
from loadstone.domain.request_name import NAME_LIMIT, OTHER, NameTable, RequestName
from loadstone.influx import writer
from loadstone.influx.backfill import write_run
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.influx.name_cap import AdmittedNames, publish_names
from loadstone.influx.service import serve_writer
from loadstone.stream.consumer import is_finished
from loadstone.stream.keys import SAMPLES, WRITERS, admitted_names
from support import run_maker
from support.collecting import collector_settings, influx_ledger, run_json, ship, threads, wait_for_influx
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, Sample, write_journal

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from support.faulty_influx import FaultyInflux
    from support.redis_server import RedisServer

WORKERS, NAMES, PER_BATCH = 3, 600, 10
TOTAL = 2 * NAMES
pytestmark = pytest.mark.usefixtures("impatient_writers")


def many_names() -> RunMaker:
    """Workers send most of 600 names, each in an order of its own, in small batches that arrive in turns."""
    run = RunMaker().started(0, workers=range(1, WORKERS + 1))
    incarnations = [IncarnationMaker(worker=number) for number in range(1, WORKERS + 1)]
    orders = [[(number * step) % NAMES for number in range(NAMES)] for step in (7, 599, 11)][:WORKERS]
    for at in range(0, NAMES * 2 // WORKERS, PER_BATCH):
        for incarnation, order in zip(incarnations, orders, strict=True):
            first = at / 1000 + incarnation.worker / 1e6
            taken = [
                Sample(first + number / 1e4, name=("GET", f"/item/{NAMES - name:04}"))
                for number, name in enumerate(order[at : at + PER_BATCH])
            ]
            run.add(incarnation.batch(taken, at_s=at / 1000 + 0.01))
    for incarnation in incarnations:
        run.add(incarnation.batch([], at_s=1, final=True))
    return run.stopped(1, requests=TOTAL)


def archived(results: Path) -> Counter[tuple[str, str]]:
    """Requests by name in the archive's rollups."""
    table = pq.read_table(results / "r" / "rollups.parquet").to_pylist()
    found: Counter[tuple[str, str]] = Counter()
    for row in table:
        found[row["method"] or "", row["name"]] += row["n"]
    return found


def live(results: Path) -> Counter[tuple[str, str]]:
    """Requests by name in the state from which the live page is drawn."""
    state = RunState()
    for entry in read_journal(results / "r" / "journal"):
        state.apply(entry)
    return Counter({state.names[name]: rollup.n for name, rollup in state.totals.items()})


def raw(influx: FaultyInflux) -> Counter[tuple[str, str]]:
    """Raw points by name in InfluxDB."""
    tags = [dict(key.tags) for key in influx.points if key.measurement == "request"]
    return Counter((each.get("method", ""), each["name"]) for each in tags)


def rolled_up(influx: FaultyInflux) -> Counter[tuple[str, str]]:
    """Requests by name in the rollups of the whole run in InfluxDB."""
    found: Counter[tuple[str, str]] = Counter()
    for key, fields in influx.points.items():
        tags = dict(key.tags)
        if key.measurement == "rollup" and tags["res"] == "run":
            found[tags.get("method", ""), tags["name"]] = int(fields["n"])
    return found


def test_archive_live_state_and_influxdb_agree_name_by_name_when_there_are_too_many(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client, run = valkey.client(), many_names()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")
    cuts = [0, len(run.entries) // 3, 2 * len(run.entries) // 3, len(run.entries)]
    parts = [run.entries[first:last] for first, last in pairwise(cuts)]
    with threads(settings, serve_writer, serve_writer):
        ship(client, parts[0])  # the writers see these before any Aggregator does
        wait_until(lambda: int(client.xpending(SAMPLES, WRITERS)["pending"]) > 0, "the writers have read them")
        with threads(settings, serve_aggregator):
            ship(client, parts[1])
            wait_until(lambda: bool(raw(faulty_influx)), "the first ones are stored", timeout_s=60)
        ship(client, parts[2])  # the Aggregator is down: this only delays
        with threads(settings, serve_aggregator):
            ledger = wait_for_influx(client, tmp_path, timeout_s=90)
    assert ledger == {"stored": TOTAL, "rejected": 0, "pending": 0}
    assert len(archived(tmp_path)) == NAME_LIMIT + 1
    assert archived(tmp_path)[OTHER] > 0
    assert archived(tmp_path) == live(tmp_path) == raw(faulty_influx) == rolled_up(faulty_influx)


def test_a_backfill_of_a_run_with_too_many_names_writes_the_same_points(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client, settings = (
        valkey.client(),
        collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s"),
    )
    with threads(settings):
        ship(client, many_names().entries)
        wait_for_influx(client, tmp_path, timeout_s=90)
    before = raw(faulty_influx)
    sink = InfluxClient(settings, now_s=time.time)
    write_run(RunFolder(tmp_path / "r"), Delivery(sink, lambda _: None, refused_pause_s=1))
    sink.close()
    assert raw(faulty_influx) == before


def test_a_journal_with_the_list_of_an_older_writer_is_backfilled_with_that_list(
    faulty_influx: FaultyInflux, tmp_path: Path
):
    """Versions that admitted names in Redis put the list into an event; the points they wrote must not change."""
    run = many_names()
    listed = [["GET", f"/item/{number:04}"] for number in range(1, NAME_LIMIT + 1)]
    payload = NamesCapped(limit=NAME_LIMIT, names=tuple(RequestName(*name) for name in listed))
    event = Event(run="r", at_ns=run_maker.START, source="influx-names", seq=0, payload=payload)
    run.entries.append(run.entries[0]._replace(kind=EntryKind.EVENTS, blob=encode_event(event)))
    folder = RunFolder(tmp_path / "r").create()
    write_journal(folder.journal, run.entries)
    sink = InfluxClient(collector_settings("redis://unused", tmp_path, faulty_influx.url), now_s=time.time)
    write_run(folder, Delivery(sink, lambda _: None, refused_pause_s=1))
    sink.close()
    sent = [decode_batch(entry.blob) for entry in run.entries if entry.kind is EntryKind.SAMPLES]
    names = Counter(batch.names[at] for batch in sent for at in batch.columns.name.tolist())
    kept = {name: n for name, n in names.items() if list(name) in listed}
    assert raw(faulty_influx) == kept | {OTHER: TOTAL - sum(kept.values())}


def test_the_cap_is_an_event_in_the_journal_with_and_without_influxdb(valkey: RedisServer, tmp_path: Path):
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        ship(valkey.client(), many_names().entries)
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=90)
    events = [entry.blob for entry in read_journal(tmp_path / "r" / "journal") if entry.kind is EntryKind.EVENTS]
    assert sum(b"names_capped" in blob for blob in events) == 1


@pytest.fixture
def client(valkey: RedisServer) -> redis.Redis:
    return valkey.client()


def test_a_name_is_undecided_until_the_aggregator_has_admitted_it_or_the_list_is_full(client: redis.Redis):
    table, names = NameTable(limit=2), AdmittedNames(client, "r", limit=2)
    one, two, three = (RequestName("GET", f"/{number}") for number in (1, 2, 3))
    assert names.admitted([one]) is None
    table.ids_of([one])
    publish_names(client, "r", table)
    assert names.admitted([one]) == [one]
    assert names.admitted([one, three]) is None
    table.ids_of([two])
    publish_names(client, "r", table)
    assert names.admitted([one, two, three]) == [one, two, OTHER]


def test_names_are_cleaned_before_they_are_compared(client: redis.Redis):
    table = NameTable()
    table.ids_of([RequestName.cleaned("GET", "a\nb\\")])
    publish_names(client, "r", table)
    assert AdmittedNames(client, "r").admitted([RequestName("GET", "a\nb\\")]) == [RequestName("GET", "a b")]


def test_the_names_of_a_run_stay_in_redis_until_influxdb_has_all_of_it(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client, settings = (
        valkey.client(),
        collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s"),
    )
    ship(client, many_names().entries)
    with threads(settings, serve_aggregator):
        wait_until(lambda: bool(influx_ledger(tmp_path)), "the run is closed", timeout_s=90)
        assert client.ttl(admitted_names("r")) == -1
        with threads(settings, serve_writer):
            wait_for_influx(client, tmp_path)
    assert client.ttl(admitted_names("r")) > 0


def test_a_batch_that_the_aggregator_did_not_count_does_not_hold_a_writer_up(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    """A batch under a number that was there already, but with another name: no journal ever admits that name."""
    client, first = valkey.client(), IncarnationMaker().batch([Sample(0.1)])
    other = IncarnationMaker().batch([Sample(0.2, name=("GET", "/never admitted"))])
    run = RunMaker().started(0).add(first).add(other)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")):
        ship(client, run.entries)
        ship(client, RunMaker("n/o run").add(IncarnationMaker(run="n/o run").batch([Sample(0.3)])).entries, "n/o run")
        wait_until(lambda: is_finished(client, SAMPLES, WRITERS), "nothing is pending")
        wait_until(lambda: not BackfillQueue(client).waiting(), "the backfill is done")
    assert raw(faulty_influx) == {("GET", "/"): 1}


def test_a_writer_that_waits_for_names_reads_a_bounded_number_of_entries(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    """The rest stays in Redis, however long the Aggregator is away."""
    client, maker = valkey.client(), IncarnationMaker()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")
    for number in range(3 * writer.MOST_DEFERRED):
        ship(client, RunMaker().add(maker.batch([Sample(number / 100)])).entries)
    looks: list[int] = []
    stopped = threading.Event()

    def look() -> bool:
        looks.append(int(client.xpending(SAMPLES, WRITERS)["pending"]))
        return len(looks) > 20

    thread = threading.Thread(target=serve_writer, args=(settings, stopped.is_set))
    thread.start()
    wait_until(lambda: bool(client.exists(SAMPLES)) and bool(client.xinfo_groups(SAMPLES)), "the writer has joined")
    wait_until(look, "it was looked at twenty times")
    stopped.set()
    thread.join()
    assert 0 < max(looks) <= 2 * writer.MOST_DEFERRED
