"""Several requests in flight: a slow write delays no other, and each entry is acknowledged when its own is accepted."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import pytest

from loadstone.domain.request_name import NameTable, RequestName
from loadstone.influx import writer
from loadstone.influx.ledger import SharedLedger
from loadstone.influx.name_cap import publish_names
from loadstone.influx.service import serve_writer
from loadstone.influx.trouble import read_trouble
from loadstone.stream.keys import INFLUX_DEAD_LETTERS, POINTS, SAMPLES, WRITERS
from support.collecting import collector_settings, program, ship, small_run, threads
from support.faulty_influx import (
    Behaviour,
    FaultyInflux,
    cut_after_storing,
    hold,
    not_found,
    too_large,
    too_many_requests,
    unauthorized,
    unavailable,
)
from support.line_protocol import PointKey
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, Sample, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from loadstone.archive.journal.frame import Entry
    from loadstone.settings import CollectorSettings
    from support.faulty_influx import WriteRequest
    from support.redis_server import RedisServer

PER_BATCH = 50
ROLLUP = PointKey("rollup", (("n", "1"),), 1)
pytestmark = pytest.mark.usefixtures("impatient_writers")


@pytest.fixture(autouse=True)
def patient_claims(impatient_writers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is held for a moment belongs to its writer for as long as in a deployment."""
    monkeypatch.setattr(writer, "CLAIM_AFTER_MS", 15_000)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What held requests wait for; open after the test."""
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture
def settings(valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path) -> CollectorSettings:
    return collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_timeout="30s")


def entries() -> tuple[list[Entry], list[Entry]]:
    """An open run in two halves of eight batches each, whose name is admitted."""
    run = small_run(batches=8, ends=False).entries
    return run[:-8], run[-8:]


def admit_name(client: redis.Redis) -> None:
    table = NameTable()
    table.ids_of([RequestName("GET", "/"), RequestName("GET", "/poison")])
    publish_names(client, "r", table)


def requests_of(request: WriteRequest) -> int:
    return sum(line.startswith(b"request,") for line in request.lines)


def stored_requests(influx: FaultyInflux) -> int:
    return sum(key.measurement == "request" for key in influx.points)


def unacknowledged(client: redis.Redis, stream: str = SAMPLES) -> int:
    return int(client.xpending(stream, WRITERS)["pending"])


def hold_two(client: redis.Redis, influx: FaultyInflux, *behaviours: Behaviour) -> tuple[int, int]:
    """Have two requests in flight that are held; the requests of the run in each."""
    influx.queue(*behaviours)
    for number, half in enumerate(entries(), start=1):
        ship(client, half)
        wait_until(lambda number=number: len(influx.requests) == number, f"request {number} is in flight", timeout_s=20)
    first, second = map(requests_of, influx.requests)
    return first, second


def test_a_second_request_starts_while_the_first_is_held_and_nothing_is_acknowledged_early(
    valkey: RedisServer, faulty_influx: FaultyInflux, settings: CollectorSettings, gate: threading.Event
):
    client, ledger = valkey.client(), SharedLedger(valkey.client(), WRITERS)
    early, late = entries()
    admit_name(client)
    faulty_influx.queue(hold(gate))
    with threads(settings, serve_writer):
        ship(client, early)
        wait_until(lambda: len(faulty_influx.requests) == 1, "the first request is held")
        held = requests_of(faulty_influx.requests[0])
        ship(client, late)
        wait_until(lambda: ledger.read("r").stored == 2 * 8 * PER_BATCH - held, "all others are stored", timeout_s=20)
        assert held > 0
        assert unacknowledged(client) == held / PER_BATCH
        gate.set()
        wait_until(lambda: unacknowledged(client) == 0, "all is acknowledged")
    assert ledger.read("r").stored == stored_requests(faulty_influx) == 2 * 8 * PER_BATCH


def test_no_more_than_two_requests_are_in_flight(
    valkey: RedisServer, faulty_influx: FaultyInflux, settings: CollectorSettings, gate: threading.Event
):
    client = valkey.client()
    admit_name(client)
    with threads(settings, serve_writer):
        held = sum(hold_two(client, faulty_influx, hold(gate), hold(gate)))
        more = small_run(batches=16, ends=False).entries[-16:]
        ship(client, more)
        time.sleep(1)  # nothing may happen
        assert len(faulty_influx.requests) == 2
        assert unacknowledged(client) == held / PER_BATCH
        gate.set()
        wait_until(lambda: stored_requests(faulty_influx) == 2 * 16 * PER_BATCH, "all is stored")


def test_no_other_writer_takes_over_what_a_write_holds_that_may_take_longer_than_a_claim_waits(
    valkey: RedisServer,
    faulty_influx: FaultyInflux,
    settings: CollectorSettings,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(writer, "CLAIM_AFTER_MS", 300)
    client = valkey.client()
    admit_name(client)
    faulty_influx.queue(hold(gate))
    with threads(settings, serve_writer):
        ship(client, entries()[0])
        wait_until(lambda: stored_requests(faulty_influx) == 8 * PER_BATCH, "all is written, the first is held")
        time.sleep(1.5)  # nothing may happen
        assert sum(map(requests_of, faulty_influx.requests)) == 8 * PER_BATCH
        gate.set()
        wait_until(lambda: unacknowledged(client) == 0, "all is acknowledged")


@pytest.mark.parametrize(
    "failures",
    [
        pytest.param((unauthorized(), unauthorized()), id="401 for both"),
        pytest.param((not_found(), unavailable()), id="404 and 503"),
        pytest.param((too_many_requests(retry_after_s=1), cut_after_storing()), id="429 and a broken connection"),
        pytest.param((too_large(), too_large()), id="413 for both"),
        pytest.param((unauthorized(), Behaviour(stores=True)), id="401 for the first alone"),
        pytest.param((Behaviour(stores=True), not_found()), id="404 for the second alone"),
    ],
)
def test_failures_of_requests_in_flight_lose_nothing_and_acknowledge_nothing_early(
    valkey: RedisServer,
    faulty_influx: FaultyInflux,
    settings: CollectorSettings,
    gate: threading.Event,
    failures: tuple[Behaviour, Behaviour],
):
    client, ledger = valkey.client(), SharedLedger(valkey.client(), WRITERS)
    admit_name(client)
    with threads(settings, serve_writer):
        held = hold_two(client, faulty_influx, *(hold(gate, failure) for failure in failures))
        assert unacknowledged(client) == sum(held) / PER_BATCH
        assert ledger.read("r").stored == 0
        gate.set()
        wait_until(lambda: ledger.read("r").stored == 2 * 8 * PER_BATCH, "all is stored", timeout_s=20)
        wait_until(lambda: unacknowledged(client) == 0, "all is acknowledged")
        wait_until(lambda: read_trouble(client) is None, "the trouble is over")
    assert stored_requests(faulty_influx) == 2 * 8 * PER_BATCH
    assert ledger.read("r").rejected == 0


def test_a_refusal_of_two_requests_is_logged_once_and_so_is_its_end(
    valkey: RedisServer,
    faulty_influx: FaultyInflux,
    settings: CollectorSettings,
    gate: threading.Event,
    caplog: pytest.LogCaptureFixture,
):
    client = valkey.client()
    admit_name(client)
    faulty_influx.token = "right"
    with threads(settings, serve_writer):
        hold_two(client, faulty_influx, hold(gate, unauthorized()), hold(gate, unauthorized()))
        gate.set()
        wait_until(lambda: len(faulty_influx.requests) >= 6, "both are refused several times")
        assert (trouble := read_trouble(client)) is not None
        assert trouble.status == 401
        faulty_influx.token = None
        wait_until(lambda: stored_requests(faulty_influx) == 2 * 8 * PER_BATCH, "all is stored")
        wait_until(lambda: read_trouble(client) is None, "the trouble is over")
    assert sum("state=refused" in record.message for record in caplog.records) == 1
    assert sum("state=writing" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("partial", [False, True], ids=["400", "422"])
def test_a_poison_line_is_found_within_the_bound_while_another_request_is_in_flight(
    valkey: RedisServer,
    faulty_influx: FaultyInflux,
    settings: CollectorSettings,
    gate: threading.Event,
    *,
    partial: bool,
):
    faulty_influx.partial = partial
    client, ledger = valkey.client(), SharedLedger(valkey.client(), WRITERS)
    taken = samples(5000, 10, 11)
    taken[2345] = Sample(taken[2345].end_s, name=("GET", "/poison"))
    poisoned = RunMaker().add(IncarnationMaker(9).batch(taken)).entries
    admit_name(client)
    faulty_influx.queue(hold(gate))
    with threads(settings, serve_writer):
        ship(client, entries()[0])
        wait_until(lambda: len(faulty_influx.requests) == 1, "the first request is held")
        held = requests_of(faulty_influx.requests[0])
        ship(client, poisoned)
        wait_until(lambda: ledger.read("r").rejected == 1, "the poison line is found", timeout_s=20)
        assert unacknowledged(client) >= held / PER_BATCH
        gate.set()
        wait_until(lambda: ledger.read("r").stored == 8 * PER_BATCH + 4999, "all others are stored", timeout_s=20)
    assert stored_requests(faulty_influx) == 8 * PER_BATCH + 4999
    searched = [request for request in faulty_influx.requests if any(b"worker=9" in line for line in request.lines)]
    assert len(searched) <= 2 + math.log2(5000) + 3
    assert client.xlen(INFLUX_DEAD_LETTERS) == 1


def test_points_are_written_in_their_order_whatever_is_in_flight(
    valkey: RedisServer, faulty_influx: FaultyInflux, settings: CollectorSettings, gate: threading.Event
):
    client = valkey.client()
    admit_name(client)
    with threads(settings, serve_writer):
        client.xadd(POINTS, {"run": "r", "b": "rollup,n=1 v=1 1"})
        wait_until(lambda: len(faulty_influx.requests) == 1, "points are written")
        faulty_influx.queue(hold(gate))
        client.xadd(POINTS, {"run": "r", "b": "rollup,n=1 v=2 1"})
        wait_until(lambda: len(faulty_influx.requests) == 2, "a request with points is held")
        client.xadd(POINTS, {"run": "r", "b": "rollup,n=1 v=3 1"})
        ship(client, entries()[0])
        wait_until(lambda: stored_requests(faulty_influx) == 8 * PER_BATCH, "samples are written meanwhile")
        lines = [line for request in faulty_influx.requests for line in request.lines if line.startswith(b"rollup")]
        assert lines[-1].endswith(b"v=2 1")
        gate.set()
        wait_until(lambda: unacknowledged(client, POINTS) == 0, "all points are acknowledged")
        wait_until(lambda: faulty_influx.points[ROLLUP] == {"v": 3.0}, "the newest points are there")


def test_a_writer_killed_with_two_requests_in_flight_loses_and_doubles_nothing(
    valkey: RedisServer, faulty_influx: FaultyInflux, settings: CollectorSettings, gate: threading.Event, tmp_path: Path
):
    client, ledger = valkey.client(), SharedLedger(valkey.client(), WRITERS)
    admit_name(client)
    killed = program(settings, "writer", tmp_path / "killed.log").start()
    try:
        wait_until(lambda: client.exists("lease:points"), "the writer runs", timeout_s=60)
        held = sum(hold_two(client, faulty_influx, hold(gate), hold(gate)))
    finally:
        killed.kill()
    assert stored_requests(faulty_influx) == held, "both were stored, and never answered"
    assert ledger.read("r").stored == 0
    assert unacknowledged(client) == held / PER_BATCH
    gate.set()
    every = [id_ for id_, _ in client.xrange(SAMPLES)]
    client.xclaim(SAMPLES, WRITERS, "nobody", 0, every, idle=60_000, justid=True)  # as after a minute
    with threads(settings, serve_writer):
        wait_until(lambda: ledger.read("r").stored == 2 * 8 * PER_BATCH, "another writer has claimed them")
        wait_until(lambda: unacknowledged(client) == 0, "all is acknowledged")
    assert stored_requests(faulty_influx) == 2 * 8 * PER_BATCH
