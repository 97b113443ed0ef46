"""InfluxWriter: real streams, and the double of InfluxDB for every failure that a real one cannot be made to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.collector import admission
from loadstone.collector.service import serve_aggregator
from loadstone.domain.batch import encode_batch
from loadstone.domain.request_name import NAME_LIMIT, NameTable, RequestName
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.name_cap import publish_names
from loadstone.influx.service import serve_writer
from loadstone.stream.consumer import Consumer, is_finished
from loadstone.stream.inbox import send
from loadstone.stream.keys import DEAD_LETTERS, INFLUX_DEAD_LETTERS, POINTS, SAMPLES, WRITERS, run_secret
from loadstone.stream.proof import RunSecret, open_run
from support.collecting import (
    collector_settings,
    influx_ledger,
    run_json,
    secret_of,
    ship,
    small_run,
    threads,
    wait_for_influx,
)
from support.faulty_influx import (
    FaultyInflux,
    cut_after_storing,
    hang,
    not_found,
    too_large,
    too_many_requests,
    unauthorized,
    unavailable,
)
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, Sample, samples

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from support.line_protocol import PointKey
    from support.redis_server import RedisServer

ALL = 2 * 8 * 50
pytestmark = pytest.mark.usefixtures("impatient_writers")


def admit_names(client: redis.Redis, *names: str) -> None:
    """Admit names to the run as an Aggregator does."""
    table = NameTable()
    table.ids_of([RequestName("GET", name) for name in names])
    publish_names(client, "r", table)


def requests_in(influx: FaultyInflux) -> set[PointKey]:
    return {key for key in influx.points if key.measurement == "request"}


def test_every_request_is_stored_once_and_the_ledger_says_so(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    ship(client, small_run().entries)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        assert wait_for_influx(client, tmp_path) == {"stored": ALL, "rejected": 0, "pending": 0}
        wait_until(lambda: client.xlen(SAMPLES) == client.xlen(POINTS) == 0, "the streams are cut")
    assert len(requests_in(faulty_influx)) == run_json(tmp_path)["requests"] == ALL


def test_everything_sent_twice_changes_nothing(valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path):
    client = valkey.client()
    entries = small_run().entries
    ship(client, [entry for entry in entries for _ in (1, 2)])
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        assert wait_for_influx(client, tmp_path) == {"stored": ALL, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == ALL


@pytest.mark.parametrize(
    "failures",
    [
        (unavailable(), unavailable(status=500), too_many_requests(retry_after_s=1)),
        (unauthorized(), not_found(), unauthorized()),
        (hang(3), cut_after_storing()),
        (too_large(), too_large(), too_large()),
    ],
    ids=["5xx and 429", "401 and 404", "hanging and broken connections", "413"],
)
def test_nothing_is_lost_when_writes_fail(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, failures: tuple
):
    client = valkey.client()
    ship(client, small_run().entries)
    faulty_influx.queue(*failures)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        assert wait_for_influx(client, tmp_path) == {"stored": ALL, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == ALL
    assert len(faulty_influx.requests) > len(failures)


def test_retry_after_is_waited_for_before_the_next_write(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    admit_names(client, "/")
    ship(client, small_run(ends=False).entries)
    faulty_influx.queue(too_many_requests(retry_after_s=1))
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url), serve_writer):
        wait_until(lambda: len(requests_in(faulty_influx)) == ALL, "all is stored")
    refused, accepted = faulty_influx.requests[:2]
    assert accepted.at_s - refused.at_s >= 1


def test_after_a_wrong_token_was_corrected_everything_is_stored(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    token = tmp_path / "token"
    token.write_text("wrong")
    faulty_influx.token = "right"
    client = valkey.client()
    admit_names(client, "/")
    ship(client, small_run(ends=False).entries)
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_token_file=str(token))
    with threads(settings, serve_writer):
        wait_until(lambda: len(faulty_influx.requests) >= 3, "three refusals")
        assert client.xpending(SAMPLES, WRITERS)["pending"]
        token.write_text("right")
        wait_until(lambda: len(requests_in(faulty_influx)) == ALL, "all is stored")
    assert sum("state=refused" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("partial", [False, True], ids=["400", "422"])
def test_one_poison_line_goes_to_the_dead_letters_with_its_reason(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, *, partial: bool
):
    faulty_influx.partial = partial
    taken = samples(5000, 0, 1)
    taken[2345] = Sample(taken[2345].end_s, name=("GET", "/poison"))
    client = valkey.client()
    run = RunMaker().started(0).add(IncarnationMaker().batch(taken, final=True)).stopped(1.5, requests=5000)
    ship(client, run.entries)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")):
        ledger = wait_for_influx(client, tmp_path)
    assert (ledger["stored"], ledger["rejected"], ledger["pending"]) == (4999, 1, 0)
    assert "poison" in ledger["first_rejected"]
    assert len(requests_in(faulty_influx)) == 4999
    letters = [fields for _, fields in client.xrange(INFLUX_DEAD_LETTERS)]
    (letter,) = [fields for fields in letters if fields[b"b"].startswith(b"request,")]
    assert b"poison" in letter[b"b"]
    assert b"unable to parse" in letter[b"reason"]


@pytest.mark.attack("forged batches", "no point in InfluxDB, no request in the archive")
def test_a_batch_that_does_not_prove_its_run_is_not_written(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(admission, "_PATIENCE_S", 1.0)
    client, run, results = valkey.client(), small_run(), tmp_path / "results"
    open_run(client, secret_of("s"))
    taken = [Sample(0.3, name=("GET", "/"))]
    forged = encode_batch(IncarnationMaker(9).batch(taken))
    mine = encode_batch(IncarnationMaker(9, run="s").batch(taken))
    with threads(collector_settings(valkey.url, results, faulty_influx.url)):
        ship(client, run.entries[:10])
        send(client, SAMPLES, forged, RunSecret("r", bytes(32)))
        send(client, SAMPLES, forged, secret_of("s"))
        send(client, SAMPLES, mine, RunSecret("s", bytes(32)))
        send(client, SAMPLES, encode_batch(IncarnationMaker(9, run="t").batch(taken)), secret_of("t"))
        ship(client, run.entries[10:])
        assert wait_for_influx(client, results) == {"stored": ALL, "rejected": 0, "pending": 0}
        wait_until(lambda: is_finished(client, SAMPLES, WRITERS), "the writer has decided", timeout_s=45)
    assert {dict(key.tags)["run"] for key in requests_in(faulty_influx)} == {"r"}
    assert len(requests_in(faulty_influx)) == ALL == run_json(results)["requests"]
    assert [path.name for path in results.iterdir()] == ["r"]
    assert client.xlen(DEAD_LETTERS) == 4


def test_the_entries_of_a_crashed_writer_are_claimed_by_another(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    ship(client, small_run().entries)
    crashed = Consumer(client, WRITERS, "crashed", (SAMPLES,))
    crashed.join()
    crashed.read(count=10, block_ms=None)  # the first look is for what an earlier life left
    assert crashed.read(count=10, block_ms=None)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        assert wait_for_influx(client, tmp_path)["pending"] == 0
    assert len(requests_in(faulty_influx)) == ALL


def test_several_writers_share_the_work_and_count_each_request_once(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url)
    with threads(settings, serve_aggregator, serve_writer, serve_writer, serve_writer):
        ship(client, small_run(workers=4, batches=20).entries)
        assert wait_for_influx(client, tmp_path) == {"stored": 4000, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == 4000


def test_the_stream_is_cut_while_influxdb_is_away_and_the_journal_completes_it(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    faulty_influx.stop()
    run = small_run(batches=20, per_batch=100, ends=False)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="5s")):
        ship(client, run.entries)
        used = int(client.info("memory")["used_memory"])
        valkey.set_maxmemory(str(int(used * 1.9)))
        wait_until(lambda: client.xlen(SAMPLES) == 0, "the stream is cut")
        faulty_influx.start()
        wait_until(lambda: len(requests_in(faulty_influx)) == 4000, "the backfill is done", timeout_s=30)
        end = small_run(batches=20, per_batch=100)
        ship(client, end.entries[len(run.entries) :])
        assert wait_for_influx(client, tmp_path) == {"stored": 4000, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == run_json(tmp_path)["requests"] == 4000
    rollups = [fields["n"] for key, fields in faulty_influx.points.items() if ("res", "run") in key.tags]
    assert 4000 in rollups


def test_samples_of_a_run_whose_secret_has_expired_are_backfilled_from_its_journal(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """InfluxDB was away for more than the week for which the secret of a closed run is kept."""
    client, settings = valkey.client(), collector_settings(valkey.url, tmp_path, faulty_influx.url)
    ship(client, small_run().entries)
    with threads(settings, serve_aggregator):
        wait_until(lambda: bool(influx_ledger(tmp_path)), "the run is closed", timeout_s=30)
    client.delete(run_secret("r"))
    with threads(settings):
        assert wait_for_influx(client, tmp_path) == {"stored": ALL, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == ALL
    assert any("secret=expired" in record.message for record in caplog.records)


def test_samples_of_a_run_that_nobody_opened_ask_for_no_backfill(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(admission, "_PATIENCE_S", 0.5)
    client, queued = valkey.client(), []
    monkeypatch.setattr(BackfillQueue, "add", lambda _, runs: queued.extend(runs))
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        blob = encode_batch(IncarnationMaker(run="s").batch([Sample(0.3)]))
        send(client, SAMPLES, blob, RunSecret("s", bytes(32)))
        wait_until(lambda: client.xlen(DEAD_LETTERS) == 1, "the Aggregator has refused it", timeout_s=30)
        wait_until(lambda: is_finished(client, SAMPLES, WRITERS), "the writers have decided", timeout_s=30)
    assert queued == []
    assert not requests_in(faulty_influx)


def test_without_influxdb_there_is_no_group_and_no_points(valkey: RedisServer, tmp_path: Path):
    client = valkey.client()
    Consumer(client, WRITERS, "of an earlier time", (SAMPLES, POINTS)).join()
    ship(client, small_run().entries)
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=30)
        wait_until(lambda: client.xlen(SAMPLES) == 0, "the stream is cut")
    assert not client.exists(POINTS)
    assert "influx" not in run_json(tmp_path)["ledgers"]


def test_entries_stay_until_the_writers_have_finished_them(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    run = small_run()
    ship(client, run.entries)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url), serve_aggregator):
        wait_until(lambda: bool(influx_ledger(tmp_path)), "the run is closed", timeout_s=30)
    assert influx_ledger(tmp_path) == {"stored": 0, "rejected": 0, "pending": ALL}
    assert client.xlen(SAMPLES) == len([entry for entry in run.entries if entry.stream_id.startswith("s-")])


def test_too_many_names_share_one_tag_and_are_told_in_an_event(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    taken = [Sample(number / 1000, name=("GET", f"/item/{number}")) for number in range(NAME_LIMIT + 100)]
    client = valkey.client()
    ship(client, RunMaker().started(0).add(IncarnationMaker().batch(taken)).entries)
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        events = tmp_path / "r" / "journal"
        wait_until(lambda: len(requests_in(faulty_influx)) == len(taken), "all is stored")
        wait_until(lambda: b"names_capped" in b"".join(p.read_bytes() for p in events.glob("*")), "the event is kept")
    names = {dict(key.tags)["name"] for key in requests_in(faulty_influx)}
    assert len(names) == NAME_LIMIT + 1
    assert "__other__" in names


def test_a_second_life_of_the_aggregator_publishes_no_point_twice_and_none_less(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    client = valkey.client()
    entries = small_run().entries
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url)
    with threads(settings, serve_aggregator):
        ship(client, entries[:10])
        wait_until(lambda: int(client.hget("influx:r", "position") or 0) == 10, "ten entries are published")
    first = int(client.hget("influx:r", "points"))
    with threads(settings, serve_aggregator):
        wait_until(lambda: bool(client.exists("live:r")), "it continues")
        ship(client, entries[10:])
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=30)
    published = [line for _, fields in client.xrange(POINTS) for line in fields[b"b"].split(b"\n")]
    assert len(published) == int(client.hget("influx:r", "points")) > first
    assert len([line for line in published if line.startswith(b"worker,")]) == len(
        {line for line in published if line.startswith(b"worker,")}
    )


def test_samples_and_points_that_wait_share_a_request(valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path):
    client = valkey.client()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url)
    with threads(settings, serve_aggregator):
        ship(client, small_run(ends=False).entries)
        wait_until(lambda: client.xlen(POINTS) > 0, "the Aggregator has published points")
    with threads(settings, serve_writer):
        wait_until(lambda: len(requests_in(faulty_influx)) == ALL, "all is stored")
    kinds = [{line.split(b",", 1)[0] for line in request.lines} for request in faulty_influx.requests]
    assert any({b"request", b"worker"} <= kind for kind in kinds)


@pytest.mark.parametrize(
    "takes_s",
    [pytest.param((0.2, 0.0), id="each request is slow"), pytest.param((0.0, 0.0005), id="each line is slow")],
)
def test_nothing_is_lost_or_counted_twice_when_writes_are_slow(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, takes_s: tuple[float, float]
):
    faulty_influx.write_takes_s = takes_s
    client = valkey.client()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="10s")
    with threads(settings):
        ship(client, small_run(workers=4, batches=8, per_batch=100).entries)
        assert wait_for_influx(client, tmp_path, timeout_s=60) == {"stored": 3200, "rejected": 0, "pending": 0}
    assert len(requests_in(faulty_influx)) == 3200
