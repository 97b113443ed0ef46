"""How soon a request is visible to a query, from its end on: 5,000 requests/s, Aggregator and writer as programs."""

from __future__ import annotations

import os
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from loadstone.domain.batch import encode_batch
from loadstone.stream.keys import AGGREGATOR_LEASE, POINTS_LEASE, SAMPLES
from support import run_maker
from support.collecting import collector_settings, program, send_blob, ship
from support.full_load import WORKERS, Load
from support.influx_server import InfluxServer
from support.processes import wait_until
from support.run_maker import SECOND, RunMaker, Sample
from support.servers import server_binary
from support.slow_influx import SlowInflux, SlowManner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from support.redis_server import RedisServer

    Series = tuple[str, str]

ROUNDS = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))
SECONDS = 15
RATE = 5000
AT_ONCE_BEFORE = 1
MANNERS = [
    pytest.param(SlowManner(fixed_s=0.4), id="side by side"),
    pytest.param(SlowManner(fixed_s=0.4, one_by_one=True), id="one by one"),
    pytest.param(SlowManner(fixed_s=0.05, hangs_every_s=10.0, hangs_s=3.0), id="one in ten seconds hangs"),
]


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[InfluxServer]:
    server = InfluxServer(server_binary("influxd"), server_binary("nginx"), tmp_path / "influxdb")
    try:
        yield server.start()
    finally:
        server.kill()


class Looker:
    """Asks twenty times a second how many requests of each worker and name there are, and keeps when it knew."""

    def __init__(self, influxdb: InfluxServer, run: str) -> None:
        self._influxdb = influxdb
        self._query = f'SELECT count("rt_ms") AS "n" FROM "request" WHERE "run"=\'{run}\' GROUP BY "worker", "name"'
        self._known: dict[Series, list[tuple[int, int]]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @property
    def seen(self) -> int:
        return sum(known[-1][1] for known in list(self._known.values()))

    def visible_ns(self, series: Series, n: int) -> np.ndarray:
        """When each of the last ``n`` requests of a worker and name had become visible."""
        at_ns, counts = np.array(self._known[series]).T
        return at_ns[np.searchsorted(counts, np.arange(counts[-1] - n, counts[-1]) + 1)]

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            rows = self._influxdb.query(self._query)
            at_ns = time.time_ns()
            for row in rows:
                self._known.setdefault((row["worker"], row["name"]), []).append((at_ns, row["n"]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()


def send_each_name(client: redis.Redis, load: Load) -> None:
    """Send one request of each worker and name: the writer waits for names that the Aggregator has not admitted yet."""
    ends_s = (time.time_ns() - run_maker.START) / SECOND
    for incarnation in load.incarnations:
        taken = [Sample(ends_s + at / SECOND, name=(name.method, name.name)) for at, name in enumerate(load.names)]
        send_blob(client, SAMPLES, encode_batch(incarnation.batch(taken)), incarnation.run)


def send_at_full_rate(client: redis.Redis, load: Load) -> dict[Series, np.ndarray]:
    """Send batches of the workers in turn, each every half second; when the requests of each worker and name ended.

    A batch has one name, and the next batch of its worker another one. Those of the same name are seconds apart, and so
    become visible in their order, whatever the order of writes.
    """
    ends: dict[Series, list[np.ndarray]] = {}
    begun_s = time.time()
    for number in range(2 * SECONDS * WORKERS):
        time.sleep(max(0.0, begun_s + (number + 1) * 0.5 / WORKERS - time.time()))
        now_ns, worker = time.time_ns(), number % WORKERS
        name = load.names[number // WORKERS % len(load.names)]
        batch = load.batch(load.incarnations[worker], now_ns - SECOND // 2, now_ns, name)
        ends.setdefault((str(worker), name.name), []).append(batch.columns.end_ns)
        send_blob(client, SAMPLES, encode_batch(batch), batch.run)
    took_s = time.time() - begun_s
    assert took_s < 1.1 * SECONDS, f"this machine could not send {RATE} requests/s: it took {took_s:.1f} s"
    return {series: np.concatenate(parts) for series, parts in ends.items()}


def visible_after_s(
    valkey: RedisServer, influxdb: InfluxServer, url: str, folder: Path, at_once: int | None = None
) -> np.ndarray:
    """How long each request took to become visible, where writes go to ``url``: a run of its own, in its own folder."""
    folder.mkdir()
    run = folder.name
    client, load = valkey.client(), Load(RATE // 2 // WORKERS, run)
    client.flushall()
    settings = collector_settings(valkey.url, folder, url, influx_timeout="10s")
    changed = "" if at_once is None else f"from loadstone.influx import service; service._IN_FLIGHT = {at_once}"
    aggregator = program(settings, "aggregator", folder / "a.log")
    parts = [aggregator, program(settings, "writer", folder / "w.log", changed=changed)]
    try:
        for part in parts:
            part.start()
        both = (AGGREGATOR_LEASE, POINTS_LEASE)  # a busy machine takes seconds to start a program
        wait_until(lambda: client.exists(*both) == len(both), "Aggregator and writer run", timeout_s=60)
        with Looker(influxdb, run) as looker:
            ship(client, RunMaker(run).started(0, workers=range(WORKERS)).entries, run)
            send_each_name(client, load)
            wait_until(lambda: looker.seen == WORKERS * len(load.names), "the names are known", timeout_s=30)
            ends = send_at_full_rate(client, load)
            total = WORKERS * len(load.names) + sum(map(len, ends.values()))
            wait_until(lambda: looker.seen == total, "all is visible", timeout_s=30)
    finally:
        for part in reversed(parts):
            part.kill()
    return np.concatenate([looker.visible_ns(series, len(ended)) - ended for series, ended in ends.items()]) / SECOND


def told(title: str, rounds: list[np.ndarray]) -> list[float]:
    """Print median and spread over the rounds; the p99 of each."""
    p50, p99 = ([float(np.percentile(took_s, q)) for took_s in rounds] for q in (50, 99))
    worst = max(float(took_s.max()) for took_s in rounds)
    print(
        f"\n{title}: visible after {median(p50):.2f} s ({min(p50):.2f} to {max(p50):.2f}),"
        f" p99 {median(p99):.2f} s ({min(p99):.2f} to {max(p99):.2f}), worst {worst:.2f} s of {len(rounds)} rounds"
    )
    return p99


def bench_visible(valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real InfluxDB as it is."""
    rounds = []
    for number in range(ROUNDS):
        monkeypatch.setattr(run_maker, "START", time.time_ns())
        rounds.append(visible_after_s(valkey, influxdb, influxdb.url, tmp_path / f"r{number}"))
    told("InfluxDB 1.6.7", rounds)


@pytest.mark.parametrize("manner", MANNERS)
def bench_slow_writes(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: SlowManner
) -> None:
    """With slow writes: up to two in flight as it is, beside one at a time as it was, in turn."""
    rounds: dict[int | None, list[np.ndarray]] = {AT_ONCE_BEFORE: [], None: []}
    for number in range(ROUNDS):
        for at_once, found in rounds.items():
            monkeypatch.setattr(run_maker, "START", time.time_ns())
            with SlowInflux(influxdb.port, manner) as slow:
                found.append(visible_after_s(valkey, influxdb, slow.url, tmp_path / f"r{number}-{at_once}", at_once))
                took_s = [each.answered_s - each.came_s for each in slow.writes]
                print(f"\n{len(took_s)} writes took {median(took_s):.2f} s, at most {max(took_s):.2f} s")
    before = told(f"one request at a time, {manner}", rounds[AT_ONCE_BEFORE])
    after = told(f"up to two in flight, {manner}", rounds[None])
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    print(f"p99 with two / with one: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
