"""A run during which parts fall and come back, one at a time and all together: nothing lost, nothing twice.

The services are programs of their own, killed with -9; Redis and InfluxDB are real. The workers are made: batches at
the pace of real ones, sent again when Redis does not answer, as the Shipper does.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis

from loadstone.domain.event import EventKind
from support import run_maker
from support.collecting import collector_settings, program, run_json, ship, wait_for_influx
from support.processes import wait_until
from support.run_maker import SECOND, BootMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.influx_server import InfluxServer
    from support.processes import ServerProcess
    from support.redis_server import RedisServer

PER_BATCH = 200
KILLED_WORKER = 3


@pytest.fixture(autouse=True)
def recent_runs(monkeypatch: pytest.MonkeyPatch):
    """A run of long ago would be closed for want of a master."""
    monkeypatch.setattr(run_maker, "START", time.time_ns() // SECOND * SECOND)


class Rig:
    """A run under way: three workers that send a batch each half second until `finish`."""

    def __init__(self, valkey: RedisServer, influxdb: InfluxServer, folder: Path) -> None:
        self.valkey, self.influxdb, self.results = valkey, influxdb, folder / "results"
        settings = collector_settings(valkey.url, self.results, influxdb.url, influx_timeout="10s")
        self.aggregator = program(settings, "aggregator", folder / "aggregator.log")
        self.writer = program(settings, "writer", folder / "writer.log")
        self.sent = 0
        self._boots = {number: BootMaker(worker=number) for number in (1, 2, KILLED_WORKER)}
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._run = RunMaker()
        self._at_s = 0.0

    def start(self) -> Rig:
        self.aggregator.start()
        self.writer.start()
        self._run.started(0, workers=sorted(self._boots))
        self._send()
        self._thread.start()
        return self

    def kill_worker(self) -> None:
        """Its last batch stays its last; the master misses it."""
        self._boots.pop(KILLED_WORKER)

    def finish(self) -> None:
        """End the run properly."""
        self._finished.set()
        self._thread.join()
        if KILLED_WORKER not in self._boots:
            self._run.event(EventKind.WORKER_LOST, self._at_s, worker=KILLED_WORKER)
        for boot in self._boots.values():
            self._run.add(boot.batch([], at_s=self._at_s + 0.1, final=True))
        self._run.stopped(self._at_s + 0.2, requests=self.sent)
        self._send()

    def close(self) -> None:
        self._finished.set()
        if self._thread.is_alive():
            self._thread.join()
        self.writer.kill()
        self.aggregator.kill()

    def _work(self) -> None:
        while not self._finished.wait(0.25):
            for boot in list(self._boots.values()):
                first = self._at_s + boot.worker / SECOND
                self._run.add(boot.batch(samples(PER_BATCH, first, first + 0.2), at_s=self._at_s + 0.25))
                self.sent += PER_BATCH
            self._run.event(EventKind.USERS, self._at_s, users=5, target_users=5, workers=len(self._boots))
            self._at_s += 0.25
            self._send()

    def _send(self) -> None:
        """Until it is there: whoever sends again may send twice."""
        entries, self._run.entries = self._run.entries, []
        for _ in range(600):
            try:
                ship(self.valkey.client(), entries)
            except (redis.RedisError, OSError):
                time.sleep(0.05)
            else:
                return
        raise AssertionError("Redis did not come back")


@pytest.fixture
def rig(valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(valkey, influxdb, tmp_path)
    try:
        yield made.start()
    finally:
        made.close()


def kill_and_restart(part: ServerProcess) -> None:
    part.kill()
    time.sleep(0.5)
    part.start()


def influxdb_away(rig: Rig, seconds: float = 4) -> None:
    rig.influxdb.stop()
    time.sleep(seconds)
    rig.influxdb.start()


def redis_killed(rig: Rig) -> None:
    rig.valkey.kill()
    time.sleep(1)
    rig.valkey.start()


FAULTS = {
    "InfluxDB away": influxdb_away,
    "Redis killed": redis_killed,
    "writer killed": lambda rig: kill_and_restart(rig.writer),
    "aggregator killed": lambda rig: kill_and_restart(rig.aggregator),
    "worker killed": lambda rig: rig.kill_worker(),
}


def check(rig: Rig) -> None:
    """The ledgers balance, and counts agree: sent, archived, stored."""
    rig.finish()
    with rig.valkey.client() as client:
        ledger = wait_for_influx(client, rig.results, timeout_s=60)
    document = run_json(rig.results)
    assert document["ledgers"]["archive"]["balances"]
    assert document["requests"] == document["ledgers"]["archive"]["stored"] == rig.sent
    assert ledger == {"stored": rig.sent, "rejected": 0, "pending": 0}
    assert rig.influxdb.count("request", "rt_ms") == rig.sent
    rollups = rig.influxdb.query('SELECT sum("n") AS "n" FROM "rollup_all" WHERE "res"=\'1s\'')
    assert rollups[0]["n"] == rig.sent


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_is_twice_when_one_part_falls(rig: Rig, fault: str):
    wait_until(lambda: rig.influxdb.count("request", "rt_ms") > 0, "the first points are there", timeout_s=30)
    FAULTS[fault](rig)
    time.sleep(1)
    check(rig)


def test_nothing_is_lost_and_nothing_is_twice_when_every_part_falls_in_one_run(rig: Rig):
    wait_until(lambda: rig.influxdb.count("request", "rt_ms") > 0, "the first points are there", timeout_s=30)
    rig.influxdb.kill()
    kill_and_restart(rig.writer)
    redis_killed(rig)
    kill_and_restart(rig.aggregator)
    rig.influxdb.start()
    time.sleep(1)
    kill_and_restart(rig.writer)
    rig.kill_worker()
    time.sleep(1)
    check(rig)
