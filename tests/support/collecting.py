"""The collector under test: its services in threads of the test's process, or as programs that can be killed."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loadstone.archive.journal.frame import EntryKind
from loadstone.collector.service import serve_aggregator
from loadstone.influx.service import serve_writer
from loadstone.settings import CollectorSettings, load
from loadstone.stream.inbox import move_entries, send, send_usage
from loadstone.stream.keys import EVENTS, SAMPLES, USAGE
from loadstone.stream.proof import RunSecret, open_run
from support.processes import ServerProcess, wait_until
from support.run_maker import SECOND, IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import redis

    from loadstone.archive.journal.frame import Entry

STREAMS = {EntryKind.SAMPLES: SAMPLES, EntryKind.EVENTS: EVENTS, EntryKind.USAGE: USAGE}


def collector_settings(redis_url: str, results: Path, influx_url: str | None, **more: str) -> CollectorSettings:
    """Settings that do not wait long for anything; ``influx_timeout="10s"`` for a double that has much to read."""
    options = {"redis_url": redis_url, "results": str(results), "influx_url": influx_url}
    return load(CollectorSettings, {"influx_timeout": "1s", "influx_retry": "0.2s", **options, **more}, environ={})


@contextmanager
def threads(settings: CollectorSettings, *services: Any) -> Iterator[None]:
    """Run services (default: Aggregator and writer) in threads for as long as the context lasts."""
    ended = threading.Event()
    chosen = services or (serve_aggregator, serve_writer)
    running = [threading.Thread(target=serve, args=(settings, ended.is_set)) for serve in chosen]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in running:
            thread.join()


def program(settings: CollectorSettings, only: str, log: Path, *, changed: str = "") -> ServerProcess:
    """One service as a program: ``.start() .kill() .stop()``. ``changed`` is Python that runs before it."""
    named = {
        "redis-url": settings.redis_url,
        "results": str(settings.results),
        "influx-url": settings.influx_url,
        "influx-timeout": str(settings.influx_timeout),
        "influx-retry": str(settings.influx_retry),
    }
    options = [part for name, value in named.items() if value for part in (f"--{name}", value)]
    start = f"{changed}; import runpy; runpy.run_module('loadstone', run_name='__main__', alter_sys=True)"
    how = ["-c", start] if changed else ["-m", "loadstone"]
    command = [sys.executable, *how, "collector", "--only", only, *options]
    return ServerProcess(command, log=log, ready=lambda: True)


def secret_of(run: str = "r") -> RunSecret:
    """The secret of a run of the tests, the same for everybody who asks."""
    return RunSecret(run, hashlib.sha256(run.encode()).digest())


def send_blob(client: redis.Redis, stream: str, blob: bytes, run: str = "r") -> None:
    """Send one entry as its producer does, with the proof of its run; usage has none."""
    if stream == USAGE:
        send_usage(client, blob)
    else:
        send(client, stream, blob, secret_of(run))


def ship(client: redis.Redis, entries: Iterable[Entry], run: str = "r") -> None:
    """Open a run as its master does, send its entries, and move them into their streams as the Aggregator does."""
    open_run(client, secret_of(run))
    for entry in entries:
        send_blob(client, STREAMS[entry.kind], entry.blob, run)
    while move_entries(client, tuple(STREAMS.values())):
        pass


def small_run(
    run: str = "r", *, workers: int = 2, batches: int = 8, per_batch: int = 50, ends: bool = True, **changes: Any
) -> RunMaker:
    """A run of half-second batches; every worker's samples end at moments of its own."""
    made = RunMaker(run).started(0, workers=range(1, workers + 1))
    incarnations = [IncarnationMaker(worker=number, run=run) for number in range(1, workers + 1)]
    for number in range(batches):
        for incarnation in incarnations:
            first = number / 2 + incarnation.worker / SECOND
            made.add(incarnation.batch(samples(per_batch, first, first + 0.4, **changes), at_s=number / 2 + 0.5))
    if ends:
        for incarnation in incarnations:
            made.add(incarnation.batch([], at_s=batches / 2 + 0.6, final=True))
        made.stopped(batches / 2 + 0.7, requests=workers * batches * per_batch)
    return made


def run_json(results: Path, run: str = "r") -> dict[str, Any]:
    """The content of a run's run.json; empty as long as there is none."""
    path = results / run / "run.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def influx_ledger(results: Path, run: str = "r") -> dict[str, int]:
    """InfluxDB's ledger in run.json; empty as long as there is none."""
    return dict(run_json(results, run).get("ledgers", {}).get("influx", {}))


def wait_for_influx(client: redis.Redis, results: Path, run: str = "r", timeout_s: float = 30) -> dict[str, int]:
    """Wait until a run is closed and InfluxDB has it; its InfluxDB ledger."""
    wait_until(
        lambda: bool(influx_ledger(results, run)) and not client.sismember("influx_open", run),
        f"run {run} is closed and in InfluxDB: {influx_ledger(results, run)}",
        timeout_s=timeout_s,
    )
    return influx_ledger(results, run)
