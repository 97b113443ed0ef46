"""A run of millions of requests is closed while another is in progress, even if a process is killed."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.parquet as pq
import pytest

from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder
from loadstone.stream import keys
from support import run_maker
from support.closed_runs import MadeRun, names
from support.collecting import collector_settings, program, run_json, ship
from support.processes import wait_until
from support.run_maker import SECOND, IncarnationMaker, RunMaker, samples, write_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from loadstone.archive.journal.frame import Entry
    from support.processes import ServerProcess
    from support.redis_server import RedisServer

BIG, SMALL = "big", "small"
BIG_RUN = MadeRun(run=BIG, seconds=100, rate=30_000, batches_a_second=150, names=names(20))
ROWS = 3_000_000
BEHIND_AT_MOST_S = 3.0
"""Issue 12: the live page and the points of a run are never more than this behind while another run is closed."""
EVERY_S = 0.25
PER_BATCH = 50

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("recent_runs")]


@dataclass
class SmallRun:
    """A run whose worker ships every 250 ms; it notes how far behind its live snapshot is."""

    client: redis.Redis
    shipped_at_s: list[float] = field(default_factory=list)
    worst_lag_s: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Ship and look until `end`."""
        worker = IncarnationMaker(run=SMALL)
        ship(self.client, RunMaker(SMALL).started().entries, SMALL)
        for number in itertools.count(1):
            at_s = (time.time_ns() - run_maker.START) / SECOND
            batch = worker.batch(samples(PER_BATCH, at_s - 0.2, at_s), at_s=at_s)
            ship(self.client, RunMaker(SMALL).add(batch).entries, SMALL)
            self.shipped_at_s.append(time.monotonic())
            due_s = self.shipped_at_s[0] + number * EVERY_S
            while time.monotonic() < due_s:
                self.worst_lag_s = max(self.worst_lag_s, self.lag_s())
                if self._ended.wait(0.05):
                    return

    def lag_s(self) -> float:
        """How long ago the oldest batch was shipped that its live snapshot does not show."""
        text: Any = self.client.get(keys.live(SMALL))
        shown = json.loads(text)["requests"] // PER_BATCH if text else 0
        unseen = self.shipped_at_s[shown:]
        return time.monotonic() - unseen[0] if unseen else 0.0

    def end(self) -> None:
        """Stop shipping."""
        self._ended.set()

    def worst_pause_of_points_s(self) -> float:
        """The longest time between two entries of its points."""
        return max(later - earlier for earlier, later in itertools.pairwise(self.points_at_ms())) / 1000

    def points_at_ms(self) -> list[int]:
        """When each entry of its points was published."""
        entries: Any = self.client.xrange("points")
        return [int(id_.partition(b"-")[0]) for id_, fields in entries if fields[b"run"] == SMALL.encode()]


@pytest.fixture
def client(valkey: RedisServer) -> redis.Redis:
    return valkey.client()


@dataclass
class Deployment:
    """An Aggregator that publishes points, with a run of three million requests of which only the end is missing."""

    client: redis.Redis
    results: Path
    aggregator: ServerProcess
    ending: list[Entry]

    @property
    def log(self) -> str:
        return (self.results / "a.log").read_text()

    def stop_big_run(self) -> None:
        ship(self.client, self.ending, BIG)

    def await_finalizer(self) -> psutil.Process:
        """The process that is writing the files of the run."""
        being_written = self.results / BIG / ".requests.parquet.tmp"
        wait_until(being_written.exists, "the finalizer writes", timeout_s=60)
        (process,) = psutil.Process(self.aggregator.pid).children()
        return process

    def check_files(self) -> None:
        """They are those of the same journal closed without any disturbance."""
        folder, undisturbed = RunFolder(self.results / BIG), RunFolder(self.results / "undisturbed" / BIG)
        shutil.copytree(folder.journal, undisturbed.journal)
        recover_run(undisturbed, now_ns=time.time_ns())
        assert folder.requests.read_bytes() == undisturbed.requests.read_bytes()
        assert folder.rollups.read_bytes() == undisturbed.rollups.read_bytes()
        closed, again = run_json(self.results, BIG), run_json(undisturbed.path.parent, BIG)
        for document in (closed, again):
            document.pop("closed_at")
            document.pop("digest")
            document["ledgers"].pop("influx", None)
        assert closed == again

    def await_closed(self) -> None:
        wait_until(lambda: bool(run_json(self.results, BIG)), "the big run is closed", timeout_s=200)


@contextmanager
def deployed(valkey: RedisServer, results: Path, made: MadeRun) -> Iterator[Deployment]:
    entries, client = made.entries(), valkey.client()
    stop_at = next(at for at, entry in enumerate(entries) if b'"stopping"' in entry.blob)
    write_journal(RunFolder(results / BIG).create().journal, entries[:stop_at])
    client.sadd("open_runs", BIG)
    settings = collector_settings(valkey.url, results, "http://127.0.0.1:9")
    running = program(settings, "aggregator", results / "a.log").start()
    deployment = Deployment(client, results, running, entries[stop_at:])
    try:
        wait_until(lambda: f"run={BIG} state=open" in deployment.log, "the run is open", timeout_s=200)
        yield deployment
    finally:
        running.kill()


@pytest.fixture
def deployment(valkey: RedisServer, tmp_path: Path) -> Iterator[Deployment]:
    """With the run of three million requests."""
    with deployed(valkey, tmp_path, BIG_RUN) as made:
        yield made


@pytest.fixture
def smaller_deployment(valkey: RedisServer, tmp_path: Path) -> Iterator[Deployment]:
    """With a run that takes about a second to close."""
    with deployed(valkey, tmp_path, replace(BIG_RUN, seconds=20)) as made:
        yield made


@pytest.fixture
def small(deployment: Deployment) -> Iterator[SmallRun]:
    """A run in progress during the test, with its first points published."""
    made = SmallRun(deployment.client)
    going_on = threading.Thread(target=made.go_on)
    going_on.start()
    try:
        wait_until(lambda: len(made.points_at_ms()) > 1, "its points are published", timeout_s=30)
        made.worst_lag_s = 0.0
        yield made
    finally:
        made.end()
        going_on.join()


def test_another_run_is_never_more_than_three_seconds_behind(deployment: Deployment, small: SmallRun):
    begun_s = time.monotonic()
    deployment.stop_big_run()
    deployment.await_closed()
    took_s = time.monotonic() - begun_s
    time.sleep(1)  # what the end of the big run held up shows now
    lags = f"live {small.worst_lag_s:.2f} s, points {small.worst_pause_of_points_s():.2f} s"
    print(f"closed in {took_s:.1f} s; behind at worst: {lags}")
    assert pq.read_metadata(deployment.results / BIG / "requests.parquet").num_rows == ROWS
    assert small.worst_lag_s <= BEHIND_AT_MOST_S
    assert small.worst_pause_of_points_s() <= BEHIND_AT_MOST_S


def test_a_finalizer_that_is_killed_is_started_again_and_makes_the_same_files(smaller_deployment: Deployment):
    smaller_deployment.stop_big_run()
    smaller_deployment.await_finalizer().kill()
    smaller_deployment.await_closed()
    assert "retry_in_s=" in smaller_deployment.log
    smaller_deployment.check_files()


def test_an_aggregator_that_is_killed_takes_its_finalizer_along_and_the_next_one_makes_the_same_files(
    smaller_deployment: Deployment,
):
    smaller_deployment.stop_big_run()
    finalizer = smaller_deployment.await_finalizer()
    smaller_deployment.aggregator.kill()
    finalizer.wait(timeout=10)
    assert not run_json(smaller_deployment.results, BIG)
    smaller_deployment.aggregator.start()
    smaller_deployment.await_closed()
    smaller_deployment.check_files()
