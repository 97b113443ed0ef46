"""Runs of real Locust processes during which parts are killed and stopped: nothing is lost, and nothing counts twice.

What the target received is what was sent; the archive and InfluxDB have to agree with it.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer
    from support.loadstone_run import LoadstoneRun
    from support.redis_server import RedisServer

AWAY_S = 30
LOAD = ("-u", "20", "-r", "50", "-t", "5m", "--workers", "3", "--influx-drain", "90s", "--plain")


@dataclass(slots=True)
class FallingRun:
    """A run under way, and the servers that it depends on."""

    run: LoadstoneRun
    target: CountingServer
    valkey: RedisServer
    influxdb: InfluxServer

    def wait_for_more(self) -> None:
        """Wait until the target has received more, and InfluxDB has got more."""
        received, stored = self.target.count().total + 300, self._in_influx() + 300
        self.run.wait_for(lambda: self.target.count().total > received or None)
        self.run.wait_for(lambda: self._in_influx() > stored or None, timeout_s=60)

    def kill_service(self, name: str) -> None:
        """Kill the Aggregator or the writer and wait until it was started again."""
        fallen = self.run.service(name)
        fallen.kill()
        self.run.wait_for(lambda: self.run.service(name).pid != fallen.pid or None)

    def kill_redis(self) -> None:
        self.valkey.kill()
        time.sleep(1)
        self.valkey.start()

    def kill_worker(self) -> None:
        """Kill a worker and wait until the master has missed it and its users run again."""
        worker: psutil.Process = self.run.part("--worker ")
        worker.kill()
        self.run.wait_for_moved_users(20)

    def stop_influxdb(self, meanwhile: Callable[[FallingRun], None] = lambda _: None) -> None:
        """Make InfluxDB unavailable for half a minute during the run."""
        begun_s, received = time.monotonic(), self.target.count().total
        self.influxdb.stop()
        meanwhile(self)
        time.sleep(max(0.0, begun_s + AWAY_S - time.monotonic()))
        assert self.target.count().total > received + 1000
        assert self.run.live(self.valkey.client())["influx"]["pending"] > 1000
        self.influxdb.start()

    def end(self) -> None:
        """End the run; InfluxDB gets time to take in the rest."""
        self.run.send(signal.SIGINT)
        assert self.run.finish(150) == 130, self.run.output
        assert not self.run.left_behind()

    def check_sinks_agree(self) -> int:
        """The ledgers balance and add up, and archive and InfluxDB hold the same number, which is returned."""
        ledgers = self.run.run_json()["ledgers"]
        stored = int(ledgers["archive"]["stored"])
        assert ledgers["archive"]["balances"]
        assert ledgers["archive"]["produced"] == stored
        assert ledgers["influx"] == {"stored": stored, "rejected": 0, "pending": 0}, self.run.output
        rollups = self.influxdb.query('SELECT sum("n") AS "n" FROM "rollup_all" WHERE "res"=\'1s\'')
        assert (self.run.rows(), self._in_influx(), rollups[0]["n"]) == (stored,) * 3
        return stored

    def unknown(self) -> int:
        """The archive's bound for what a killed worker may have taken with it."""
        return int(self.run.run_json()["ledgers"]["archive"]["unknown"])

    def _in_influx(self) -> int:
        return self.influxdb.count("request", "rt_ms") if self.influxdb.running else 0


@pytest.fixture
def falling(
    new_run, counting_server: CountingServer, valkey: RedisServer, influxdb: InfluxServer
) -> Iterator[FallingRun]:
    places = ("--host", counting_server.url, "--redis-url", valkey.url, "--influx-url", influxdb.url)
    made = FallingRun(new_run("mixed", *places, *LOAD).start(), counting_server, valkey, influxdb)
    made.wait_for_more()
    return made


@pytest.mark.attack(
    "one part of the platform falls in mid-run", "nothing is lost and nothing counts twice, in archive and InfluxDB"
)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(FallingRun.stop_influxdb, id="InfluxDB-away"),
        pytest.param(FallingRun.kill_redis, id="Redis-killed"),
        pytest.param(lambda falling: falling.kill_service("writer"), id="writer-killed"),
        pytest.param(lambda falling: falling.kill_service("aggregator"), id="aggregator-killed"),
    ],
)
def test_when_one_part_falls_nothing_is_lost_and_nothing_counts_twice(falling: FallingRun, fault):
    fault(falling)
    falling.wait_for_more()
    falling.end()
    assert falling.check_sinks_agree() == falling.target.count().total
    assert falling.unknown() == 0


def test_when_a_worker_is_killed_the_archive_and_influxdb_agree_and_its_loss_is_bounded(falling: FallingRun):
    falling.kill_worker()
    falling.wait_for_more()
    falling.end()
    stored, received = falling.check_sinks_agree(), falling.target.count().total
    assert stored <= received <= stored + falling.unknown()


def everything_else_killed(falling: FallingRun) -> None:
    falling.kill_service("writer")
    falling.kill_redis()
    falling.kill_service("aggregator")
    falling.kill_worker()


@pytest.mark.attack(
    "every part of the platform falls in one run", "nothing is lost but what the killed worker held, which is bounded"
)
def test_when_every_part_falls_in_one_run_nothing_is_lost_but_what_the_killed_worker_held(falling: FallingRun):
    falling.stop_influxdb(everything_else_killed)
    falling.kill_service("writer")
    falling.wait_for_more()
    falling.end()
    stored, received = falling.check_sinks_agree(), falling.target.count().total
    assert stored <= received <= stored + falling.unknown()
    restarted = [event["data"]["part"] for event in falling.run.events() if event["kind"] == "restarted"]
    assert {"aggregator", "writer"} <= set(restarted)
