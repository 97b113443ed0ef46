"""InfluxDB out of service in mid-run: for twenty seconds, and for so long that Redis fills up."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from loadstone.stream.keys import BACKFILL_QUEUE, SAMPLES
from support import run_maker
from support.collecting import collector_settings, influx_ledger, run_json, ship, small_run, threads, wait_for_influx
from support.processes import wait_until
from support.run_maker import SECOND

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from support.counting_server import CountingServer
    from support.faulty_influx import FaultyInflux
    from support.influx_server import InfluxServer
    from support.starters import StartRedis

OUT_OF_SERVICE_S = 20
LOAD = ("-u", "20", "-r", "50", "-t", "5m", "--workers", "2", "--influx-drain", "60s", "--plain")
BATCHES, PER_BATCH = 300, 500
MAXMEMORY = "16mb"


def requests_in(influx: FaultyInflux) -> int:
    return sum(key.measurement == "request" for key in influx.points)


def test_twenty_seconds_of_503_lose_nothing_and_are_not_hammered(
    new_run, counting_server: CountingServer, faulty_influx: FaultyInflux
):
    run = new_run("mixed", "--host", counting_server.url, "--influx-url", faulty_influx.url, *LOAD).start()
    run.wait_for(lambda: requests_in(faulty_influx) > 300 or None)
    faulty_influx.fail_for(OUT_OF_SERVICE_S)
    stored, received = requests_in(faulty_influx), counting_server.count().total
    run.wait_for(lambda: requests_in(faulty_influx) > stored or None, timeout_s=OUT_OF_SERVICE_S + 60)
    assert counting_server.count().total > received + 1000
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    total = counting_server.count().total
    assert requests_in(faulty_influx) == total
    assert run.run_json()["ledgers"]["influx"] == {"stored": total, "rejected": 0, "pending": 0}
    refused = [request for request in faulty_influx.requests if request.status == 503]
    assert 2 <= len(refused) <= 30


def test_when_redis_is_half_full_the_stream_is_cut_the_archive_is_whole_and_a_backfill_completes_influxdb(
    start_valkey: StartRedis, influxdb: InfluxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_maker, "START", time.time_ns() // SECOND * SECOND)
    valkey = start_valkey(maxmemory=MAXMEMORY)
    client, total = valkey.client(), 2 * BATCHES * PER_BATCH
    entries = small_run(batches=BATCHES, per_batch=PER_BATCH).entries
    end = len(entries) * 9 // 10
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        ship(client, entries[:20])
        wait_until(lambda: influxdb.count("request", "rt_ms") > 0, "InfluxDB gets the first points", timeout_s=30)
        influxdb.stop()
        for at in range(20, end, 20):
            ship(client, entries[at : min(at + 20, end)])
            time.sleep(0.05)
        wait_until(lambda: client.exists(BACKFILL_QUEUE) == 1, "the stream was cut", timeout_s=30)
        assert client.xlen(SAMPLES) < 2 * BATCHES * 0.9
        influxdb.start()
        ship(client, entries[end:])
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=60)
        document = run_json(tmp_path)
        assert document["requests"] == document["ledgers"]["archive"]["stored"] == total
        assert document["ledgers"]["archive"]["balances"]
        assert wait_for_influx(client, tmp_path, timeout_s=90) == {"stored": total, "rejected": 0, "pending": 0}
    assert influxdb.count("request", "rt_ms") == total
    assert influx_ledger(tmp_path)["pending"] == 0
    rollups = influxdb.query('SELECT sum("n") AS "n" FROM "rollup_all" WHERE "res"=\'1s\'')
    assert rollups[0]["n"] == total
