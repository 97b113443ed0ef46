"""Aggregator and InfluxWriter: CPU per sample, bytes, memory, and the counts of a million requests."""

from __future__ import annotations

import os
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import psutil
import pyarrow.parquet as pq
import pytest

from loadstone.collector.aggregator import STREAMS, Aggregator
from loadstone.collector.service import start_finalizer
from loadstone.domain.batch import encode_batch
from loadstone.domain.request_name import NameTable
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.name_cap import publish_names
from loadstone.influx.writer import InfluxWriter
from loadstone.stream.consumer import Consumer
from loadstone.stream.inbox import move_entries
from loadstone.stream.keys import AGGREGATORS, SAMPLES, WRITERS
from loadstone.stream.proof import open_run
from support import run_maker
from support.collecting import collector_settings, program, secret_of, send_blob, ship, wait_for_influx
from support.full_load import WORKERS, Load
from support.influx_server import InfluxServer
from support.instant_server import InstantServer
from support.run_maker import SECOND, IncarnationMaker, RunMaker
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from support.redis_server import RedisServer

ROUNDS = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[InfluxServer]:
    server = InfluxServer(server_binary("influxd"), server_binary("nginx"), tmp_path / "influxdb")
    try:
        yield server.start()
    finally:
        server.kill()


def fill(client: redis.Redis, load: Load, batches: int, first: int = 0) -> int:
    """Put batches of half a second each, of every worker, into the stream; how many samples these are."""
    open_run(client, secret_of())
    for number in range(first, first + batches):
        begin = run_maker.START + number * SECOND // 2
        for incarnation in load.incarnations:
            blob = encode_batch(
                load.batch(incarnation, begin + incarnation.worker, begin + SECOND // 2 + incarnation.worker)
            )
            send_blob(client, SAMPLES, blob)
    while move_entries(client, (SAMPLES,)):
        pass
    return batches * WORKERS * load.per_batch


def told(title: str, rates: list[float], unit: str) -> None:
    print(f"\n{title}: median {median(rates):,.0f} {unit} (spread {min(rates):,.0f} to {max(rates):,.0f})")


def aggregator_of(client: redis.Redis, folder: Path, *, influx: bool) -> Aggregator:
    feed = InfluxFeed(client, SharedLedger(client, WRITERS), folder) if influx else None
    consumer = Consumer(client, AGGREGATORS, AGGREGATORS, STREAMS)
    where = client.connection_pool.connection_kwargs
    finalize = partial(start_finalizer, f"redis://{where['host']}:{where['port']}/0", "bench", SYSTEM_CLOCK)
    made = Aggregator(client, folder, consumer, finalize, feed)
    made.resume()
    return made


def taken_in(aggregator: Aggregator) -> int:
    run = aggregator.runs.get("r")
    return sum(total.n for total in run.state.totals.values()) if run else 0


def bench_aggregator(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples per second of its own CPU, journal and points included."""
    monkeypatch.setattr(run_maker, "START", time.time_ns())
    client, load = valkey.client(), Load(300)
    for influx in (True, False):
        rates = []
        for number in range(ROUNDS):
            client.flushall()
            aggregator = aggregator_of(client, tmp_path / f"{influx}-{number}", influx=influx)
            ship(client, RunMaker().started(0, workers=range(WORKERS)).entries)
            load.incarnations = [
                IncarnationMaker(worker=worker, incarnation=f"{number}-{worker}") for worker in range(WORKERS)
            ]
            samples = fill(client, load, 60)
            begun = time.process_time()
            while taken_in(aggregator) < samples:
                aggregator.step()
            aggregator.sync()
            rates.append(samples / (time.process_time() - begun))
            aggregator.close()
        told(f"Aggregator {'with' if influx else 'without'} points, batches of 300", rates, "samples/s per core")


def bench_influx_writer(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points per second of its own CPU and of wall time, against a server that answers at once."""
    monkeypatch.setattr(run_maker, "START", time.time_ns())
    client, load, cpu, wall = valkey.client(), Load(300), [], []
    with InstantServer(tmp_path) as server:
        settings = collector_settings(valkey.url, tmp_path, server.url)
        sink = InfluxClient(settings, now_s=time.time)
        ledger = SharedLedger(client, WRITERS)
        table = NameTable()
        table.ids_of(load.names)
        publish_names(client, "r", table)
        for number in range(ROUNDS):
            writer = InfluxWriter(client, ledger, name=f"w{number}")
            writer.join()
            samples = fill(client, load, 60, first=60 * number)
            begun, begun_cpu = time.monotonic(), time.process_time()
            delivery = Delivery(sink, lambda _: None, refused_pause_s=1)
            while ledger.read("r").stored < samples * (number + 1):
                writer.step(delivery)
            cpu.append(samples / (time.process_time() - begun_cpu))
            wall.append(samples / (time.monotonic() - begun))
        sink.close()
    told("InfluxWriter, batches of 300", cpu, "points/s per core")
    told("InfluxWriter, batches of 300", wall, "points/s of wall time")


def bench_stream_bytes() -> None:
    """Bytes of a request in the stream, and of its line."""
    from loadstone.influx.encode import request_lines

    for n in (50, 300, 2500):
        load = Load(n)
        batch = load.batch(load.incarnations[0], run_maker.START, run_maker.START + SECOND)
        lines = "\n".join(request_lines(batch, batch.names))
        print(f"\nbatch of {n}: {len(encode_batch(batch)) / n:.1f} bytes a request; its line {len(lines) / n:.0f}")


def bench_aggregator_memory(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident memory while two million requests pass: bounded by open seconds and names, not by their number."""
    monkeypatch.setattr(run_maker, "START", time.time_ns())
    client, load, own = valkey.client(), Load(250), psutil.Process()
    aggregator = aggregator_of(client, tmp_path, influx=True)
    ship(client, RunMaker().started(0, workers=range(WORKERS)).entries)
    samples = 0
    for part in range(10):
        samples += fill(client, load, 100, first=100 * part)
        while taken_in(aggregator) < samples:
            aggregator.step()
        aggregator.sync()
        client.xtrim("points", maxlen=0)
        points = aggregator.runs["r"].points
        kept = len(points.time_buckets) if points else 0
        print(f"\n{samples:>9,} requests: {own.memory_info().rss / 1e6:.0f} MB, {kept} buckets kept")
    aggregator.close()


def bench_a_million_requests(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million requests of eight workers, sent as fast as they can be: points, rows and requests agree."""
    monkeypatch.setattr(run_maker, "START", time.time_ns())
    settings = collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="30s")
    client, load = valkey.client(), Load(500)
    parts = [program(settings, only, tmp_path / f"{only}.log").start() for only in ("aggregator", "writer")]
    try:
        begun = time.monotonic()
        run = RunMaker().started(0, workers=range(WORKERS))
        ship(client, run.entries)
        total = fill(client, load, 250)
        ending = RunMaker(events=run.events)
        for incarnation in load.incarnations:
            ending.add(incarnation.batch([], at_s=126, final=True))
        ship(client, ending.stopped(126, requests=total).entries)
        ledger = wait_for_influx(client, tmp_path, timeout_s=300)
        took_s = time.monotonic() - begun
    finally:
        for part in parts:
            part.kill()
    rows = pq.read_metadata(tmp_path / "r" / "requests.parquet").num_rows
    assert total == rows == ledger["stored"] == influxdb.count("request", "rt_ms") == 1_000_000
    print(f"\n{total:,} requests = {rows:,} rows = {ledger['stored']:,} points after {took_s:.0f} s on this machine")
