"""What the Aggregator does for the InfluxWriters, against a real Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.reader import segment_paths
from loadstone.influx import feed as module
from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.backfill import Backfill
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.delivery import Delivery
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.writer import InfluxWriter
from loadstone.stream.client import add
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import AGGREGATORS, BACKFILL_QUEUE, INFLUX_CUT, INFLUX_OPEN, SAMPLES, WRITERS, influx_ledger
from support.closed_runs import MadeRun
from support.run_maker import write_journal

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from support.redis_server import RedisServer


class Accepting:
    """An InfluxDB that stores everything."""

    def write(self, _lines: bytes) -> WriteAnswer:
        return WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        raise AssertionError


@pytest.fixture
def client(valkey: RedisServer) -> redis.Redis:
    return valkey.client()


@pytest.fixture
def feed(client: redis.Redis, tmp_path: Path) -> InfluxFeed:
    made = InfluxFeed(client, SharedLedger(client, WRITERS), tmp_path)
    made.join()
    return made


def archive_one_entry(client: redis.Redis) -> None:
    """One batch that the Aggregator has finished and no writer has."""
    add(client, SAMPLES, b"a batch", run="r")
    reader = Consumer(client, AGGREGATORS, AGGREGATORS, (SAMPLES,))
    reader.join()
    reader.read(count=10, block_ms=None)
    reader.acknowledge(reader.read(count=10, block_ms=None))


def test_a_closed_run_whose_entries_were_cut_is_forgotten_with_all_its_marks(
    client: redis.Redis, feed: InfluxFeed, valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_LEDGER_EVERY_S", 0)
    folder = MadeRun().close(tmp_path)
    feed.opened(folder.run)
    archive_one_entry(client)
    valkey.set_maxmemory(str(round(int(client.info("memory")["used_memory"]) * 1.5)))
    feed.trim()
    assert client.smembers(INFLUX_CUT) == {folder.run.encode()}
    client.delete(BACKFILL_QUEUE)  # the backfill is done
    stored = ClosedRun.open(folder).record.ledgers.archive.stored
    client.hset(influx_ledger(folder.run), "stored", str(stored))
    feed.look_at_ledgers()
    assert not client.exists(INFLUX_OPEN, INFLUX_CUT)


def test_entries_that_were_cut_before_a_writer_read_them_ask_for_one_backfill_only(
    client: redis.Redis, feed: InfluxFeed, valkey: RedisServer
):
    feed.opened("r")
    archive_one_entry(client)
    valkey.set_maxmemory(str(round(int(client.info("memory")["used_memory"]) * 1.5)))
    feed.trim()
    assert client.hdel(BACKFILL_QUEUE, "r") == 1
    feed.trim()
    assert not client.exists(BACKFILL_QUEUE), "nothing more was cut"


def test_a_damaged_journal_delays_the_backfill_of_its_own_run_only(
    client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for run in ("a", "b"):
        folder = RunFolder(tmp_path / run).create()
        write_journal(folder.journal, MadeRun().entries())
    (segment,) = segment_paths(RunFolder(tmp_path / "a").journal)
    whole = segment.read_bytes()
    segment.write_bytes(whole[:2000] + b"\xff" * 4 + whole[2004:])
    queue, ledger = BackfillQueue(client), SharedLedger(client, WRITERS)
    queue.add(["a"])
    queue.add(["b"])
    writer = InfluxWriter(client, ledger, name="one")
    assert writer.points_lease.take()
    Backfill(client, ledger, writer, tmp_path).work_off_queue(Delivery(Accepting(), lambda _: None, refused_pause_s=1))
    assert list(queue.waiting()) == ["a"]
    assert "run=a backfill=failed" in caplog.text
