"""Which writer may write points, when one was frozen for longer than its points lease."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from loadstone.collector.service import serve_aggregator
from loadstone.domain.event import EventKind
from loadstone.influx import service
from loadstone.influx import writer as writer_module
from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.backfill_queue import BackfillQueue
from loadstone.influx.client import InfluxClient
from loadstone.influx.delivery import Delivery
from loadstone.influx.lease import PointsLease
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.service import serve_writer
from loadstone.influx.writer import InfluxWriter
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import POINTS, WRITERS
from support import run_maker
from support.collecting import collector_settings, influx_ledger, ship, threads
from support.line_protocol import PointKey, parse_line
from support.processes import wait_until
from support.run_maker import SECOND, IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from loadstone.influx.delivery import Sink
    from support.faulty_influx import FaultyInflux
    from support.redis_server import RedisServer

LEASE_MS = 500
LATE = 170
"""Requests of the first second when the late ones have come too."""


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_maker, "START", time.time_ns() // SECOND * SECOND)
    monkeypatch.setattr(writer_module, "CLAIM_AFTER_MS", LEASE_MS)
    monkeypatch.setattr(writer_module, "_SIGN_EVERY_S", 0.1)
    monkeypatch.setattr(service, "_BACKFILL_EVERY_S", 0.2)


class Shelf:
    """Stands for InfluxDB where it matters in which order requests are stored; ``before`` happens to the next one."""

    def __init__(self, stored: list[str], before: Callable[[], None] = lambda: None) -> None:
        self.stored = stored
        self.before = before

    def write(self, lines: bytes) -> WriteAnswer:
        before, self.before = self.before, lambda: None
        before()
        self.stored += lines.decode().split("\n")
        return WriteAnswer(WriteOutcome.STORED)

    def reload_token(self) -> None:
        raise AssertionError("no request is refused")


def writer(client: redis.Redis, name: str) -> InfluxWriter:
    made = InfluxWriter(client, SharedLedger(client, WRITERS), name=name)
    made.join()
    return made


def step_until(one: InfluxWriter, sink: Sink, done: Callable[[], bool]) -> None:
    delivery = Delivery(sink, lambda _: one.sign(), refused_pause_s=1)

    def stepped() -> bool:
        one.step(delivery)
        return done()

    wait_until(stepped, "the writer is done", timeout_s=20)


def publish(client: redis.Redis, *lines: str) -> None:
    for line in lines:
        client.xadd(POINTS, {"run": "r", "b": line})


def test_points_that_a_writer_sends_after_its_lease_expired_are_replaced_by_a_backfill(valkey: RedisServer):
    client, stored = valkey.client(), []
    frozen, other = writer(client, "frozen"), writer(client, "other")

    def overtake() -> None:
        publish(client, "new")
        step_until(other, Shelf(stored), lambda: stored == ["old", "new"])

    publish(client, "old")
    step_until(frozen, Shelf(stored, before=overtake), lambda: bool(BackfillQueue(client).waiting()))
    assert stored == ["old", "new", "old"]
    assert set(BackfillQueue(client).waiting()) == {"r"}
    assert frozen.points_lease.number == 0


def test_a_writer_that_wakes_up_after_its_lease_expired_does_not_send_the_next_request(valkey: RedisServer):
    client, stored, unwanted = valkey.client(), [], []
    frozen, other = writer(client, "frozen"), writer(client, "other")
    overtaken: list[bool] = []

    def wait(_: float) -> None:
        if not overtaken:
            overtaken.append(True)
            step_until(other, Shelf(stored), lambda: stored == ["old"])

    publish(client, "old")
    delivery = Delivery(Shelf(unwanted), wait, refused_pause_s=1)
    while not overtaken:
        frozen.step(delivery)
    assert unwanted == []
    assert not BackfillQueue(client).waiting()


def test_a_writer_that_takes_its_expired_lease_again_begins_with_what_it_did_not_acknowledge(valkey: RedisServer):
    """No other writer held it meanwhile: the entries that were not acknowledged are written under the new lease."""
    client, stored = valkey.client(), []
    only = writer(client, "only")
    publish(client, "a")
    publish(client, "b")
    lost = partial(wait_until, lambda: not client.exists("lease:points"), "the lease is lost")
    step_until(only, Shelf(stored, before=lost), lambda: len(stored) == 4)
    assert stored == ["a", "b", "a", "b"]
    assert int(client.xpending(POINTS, WRITERS)["pending"]) == 0


def test_a_writer_that_has_lost_the_lease_without_knowing_reads_no_points(valkey: RedisServer):
    client = valkey.client()
    leases = [PointsLease(client, name, life_ms=60) for name in ("first", "second")]
    points = [Consumer(client, WRITERS, "points", (POINTS,)) for _ in leases]
    points[0].join()
    assert leases[0].take()
    publish(client, "a")
    wait_until(leases[1].take, "the first one's lease expires")
    for _ in (1, 2):  # the first look is for what was read but not acknowledged
        assert leases[0].read(points[0], count=10) == []
    found = [entry for _ in (1, 2) for entry in leases[1].read(points[1], count=10)]
    assert [entry.blob for entry in found] == [b"a"]


def late_run() -> tuple[RunMaker, int, int]:
    """A run whose first second gets more samples long after it was written; entries up to then, and all samples."""
    made, incarnation = RunMaker().started(0, workers=[1]), IncarnationMaker(worker=1)
    for number in range(20):
        made.add(incarnation.batch(samples(50, number / 2, number / 2 + 0.4), at_s=number / 2 + 0.5))
    first = len(made.entries)
    made.add(incarnation.batch(samples(70, 0.41, 0.49), at_s=10.5))
    made.add(incarnation.batch([], at_s=10.6, final=True)).event(EventKind.STOPPING, 10.7)
    return made.stopped(10.7, requests=20 * 50 + 70), first, 20 * 50 + 70


def test_a_writer_that_slept_through_a_run_does_not_leave_its_old_points_behind(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer_module, "CLAIM_AFTER_MS", 2000)  # longer than a request may take
    client, settings = valkey.client(), collector_settings(valkey.url, tmp_path, faulty_influx.url)
    run, first, total = late_run()
    asleep, awake = threading.Event(), threading.Event()
    sink, slept = InfluxClient(settings, now_s=time.time), writer(client, "slept")

    class Sleeper:
        """Falls asleep in the middle of the first request that carries points."""

        def write(self, lines: bytes) -> WriteAnswer:
            if b"rollup_all" in lines and not asleep.is_set():
                asleep.set()
                awake.wait(60)
            return sink.write(lines)

        def reload_token(self) -> None:
            raise AssertionError("no request is refused")

    def versions() -> list[int]:
        """What was written as the number of requests of the run's first second, one after the other."""
        lines = (parse_line(line) for request in faulty_influx.requests for line in request.lines)
        of_second = (fields["n"] for key, fields in lines if key == first_second)
        return list(of_second)

    first_second = PointKey("rollup_all", (("res", "1s"), ("run", "r")), run_maker.START)
    sleeping = threading.Thread(target=step_until, args=(slept, Sleeper(), asleep.is_set))
    with threads(settings, serve_aggregator):
        sleeping.start()
        ship(client, run.entries[:first])
        assert asleep.wait(20)
        with threads(settings, serve_writer):
            ship(client, run.entries[first:])
            wait_until(lambda: max(versions(), default=0) == LATE, "the other writer has replaced it", timeout_s=30)
            wait_until(lambda: influx_ledger(tmp_path).get("stored") == total, "the run is closed", timeout_s=30)
            awake.set()
            sleeping.join()
            wait_until(lambda: not BackfillQueue(client).waiting(), "its old points are replaced", timeout_s=30)
    sink.close()
    assert versions()[-1] == LATE
    assert sorted(versions()) != versions(), "the request that was under way did come late"
