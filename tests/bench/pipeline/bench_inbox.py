"""Inboxes and proofs: what they cost for each batch, and how much later an entry is in the journal.

Each figure stands beside that of entries which are added to the stream (XADD) without a proof, in the same run.
"""

from __future__ import annotations

import os
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from loadstone.collector import aggregator as aggregator_module
from loadstone.collector.open_run import OpenRun
from loadstone.collector.service import serve_aggregator
from loadstone.domain.batch import encode_batch
from loadstone.stream.client import add
from loadstone.stream.consumer import Consumer
from loadstone.stream.inbox import move_entries, send
from loadstone.stream.keys import AGGREGATORS, BLOB, MAC, RUN, SAMPLES
from loadstone.stream.proof import open_run
from support import run_maker
from support.collecting import collector_settings, secret_of, ship, threads
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    import redis

    from support.redis_server import RedisServer

ROUNDS = int(os.environ.get("LOADSTONE_BENCH_ROUNDS", "5"))
BATCHES = 2000
SENT, EVERY_S = 200, 0.05


def added(client: redis.Redis, blob: bytes) -> None:
    """As entries came before there were inboxes, with the fields that the collector asks for."""
    client.xadd(SAMPLES, {RUN: "r", MAC: secret_of().mac(SAMPLES, blob), BLOB: blob})


def read_us(client: redis.Redis, put: Callable[[bytes], None], take: Callable[[], int], blob: bytes) -> float:
    """CPU time of this process and of waiting for the server, for each batch that is put and read, microseconds."""
    client.flushall()
    consumer = Consumer(client, AGGREGATORS, AGGREGATORS, (SAMPLES,))
    consumer.join()
    consumer.read(count=1, block_ms=None)
    begun = time.perf_counter()
    for _ in range(BATCHES // 8):
        for _ in range(8):
            put(blob)
        take()
        entries = consumer.read(count=256, block_ms=None)
        assert len(entries) == 8
        if entries[0].mac:
            assert all(secret_of().proves(entry) for entry in entries)
        consumer.acknowledge(entries)
    return (time.perf_counter() - begun) / BATCHES * 1e6


def bench_cost_of_a_batch(valkey: RedisServer) -> None:
    """A batch of 300 samples, sent, read, checked and acknowledged; eight batches a read."""
    client, secret = valkey.client(), secret_of()
    blob = encode_batch(IncarnationMaker().batch(samples(300, 0, 0.5)))
    before, after = [], []
    for _ in range(ROUNDS):
        before.append(read_us(client, lambda blob: add(client, SAMPLES, blob, run="r"), lambda: 0, blob))
        after.append(
            read_us(
                client, lambda blob: send(client, SAMPLES, blob, secret), lambda: move_entries(client, (SAMPLES,)), blob
            )
        )
    ratios = [late / early for early, late in zip(before, after, strict=True)]
    hmac_us = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(BATCHES):
            secret.mac(SAMPLES, blob)
        hmac_us.append((time.perf_counter() - begun) / BATCHES * 1e6)
    print(f"\nbatch of {len(blob)} bytes: XADD {median(before):.0f} us, inbox and proof {median(after):.0f} us")
    print(
        f"ratio {median(ratios):.2f} (spread {min(ratios):.2f} to {max(ratios):.2f}); one HMAC {median(hmac_us):.1f} us"
    )


def latencies_ms(
    monkeypatch: pytest.MonkeyPatch, url: str, results: Path, put: Callable[[bytes], None], client: redis.Redis
) -> list[float]:
    """From sending a batch until it is in the journal of its run, milliseconds."""
    arrived: dict[int, float] = {}
    take = OpenRun.take

    def noted(self: OpenRun, kind: Any, stream_id: str, blob: bytes, content: Any) -> None:
        take(self, kind, stream_id, blob, content)
        arrived[getattr(content, "seq", -1) if hasattr(content, "columns") else -1] = time.perf_counter()

    monkeypatch.setattr(OpenRun, "take", noted)
    maker, sent = IncarnationMaker(), {}
    with threads(collector_settings(url, results, None), serve_aggregator):
        ship(client, RunMaker().started(0).entries)
        time.sleep(1)
        for number in range(SENT):
            blob = encode_batch(maker.batch(samples(300, number, number + 0.5)))
            sent[number] = time.perf_counter()
            put(blob)
            time.sleep(EVERY_S * (0.5 + (number * 0.618) % 1))
        time.sleep(0.5)
    monkeypatch.setattr(OpenRun, "take", take)
    return [(arrived[number] - at) * 1000 for number, at in sent.items()]


def bench_latency(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry to journal: the Aggregator blocks on the streams (before), or looks into the inboxes (now)."""
    monkeypatch.setattr(run_maker, "START", time.time_ns())
    client, secret = valkey.client(), secret_of()
    for number in range(max(1, ROUNDS // 2)):
        client.flushall()
        with monkeypatch.context() as patch:
            blocking(patch)
            before = latencies_ms(patch, valkey.url, tmp_path / f"b{number}", lambda blob: added(client, blob), client)
        client.flushall()
        open_run(client, secret)
        after = latencies_ms(
            monkeypatch, valkey.url, tmp_path / f"a{number}", lambda blob: send(client, SAMPLES, blob, secret), client
        )
        for title, found in (("stream", before), ("inbox", after)):
            print(f"\n{title}: median {median(found):.1f} ms, p99 {quantiles(found, n=100)[98]:.1f} ms")


def blocking(patch: pytest.MonkeyPatch) -> None:
    """Let the Aggregator wait at the streams, as it did when producers added to them."""
    read = Consumer.read
    patch.setattr(aggregator_module, "move_entries", lambda *_: 1)
    patch.setattr(Consumer, "read", lambda self, *, count, block_ms: read(self, count=count, block_ms=200))


def bench_idle(valkey: RedisServer, tmp_path: Path) -> None:
    """CPU of the Aggregator's process while nothing happens, with and without an open run."""
    client = valkey.client()
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        for title in ("no run", "an open run"):
            if title == "an open run":
                ship(client, RunMaker().started((time.time_ns() - run_maker.START) / 1e9).entries)
            time.sleep(1)
            before = time.process_time()
            time.sleep(5)
            print(f"\nidle with {title}: {(time.process_time() - before) / 5 * 100:.1f} % of a core")
