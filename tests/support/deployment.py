"""Streams with one Aggregator behind them, stepped by the test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from loadstone.collector.aggregator import Aggregator
from loadstone.stream.client import connect
from loadstone.stream.consumer import Consumer
from loadstone.stream.keys import AGGREGATORS, DEAD_LETTERS, EVENTS, SAMPLES, USAGE, inbox, live
from support.closing_here import close_here
from support.collecting import STREAMS, ship
from support.fake_clock import FakeClock
from support.processes import wait_until
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from loadstone.archive.folder import RunFolder
    from loadstone.archive.journal.frame import Entry
    from loadstone.collector.finalizer import Finalizer
    from loadstone.domain.time import Clock


@dataclass
class Deployment:
    """Streams with one Aggregator behind them, and a clock that the test sets.

    ``finalize`` closes runs: `close_here`, or `start_finalizer` where its process matters.
    """

    url: str
    results: Path
    finalize: Callable[[str, str, Clock, RunFolder], Finalizer] = close_here
    time: FakeClock = field(default_factory=lambda: FakeClock(now_ns=START + SECOND))
    client: Any = None
    aggregators: list[Aggregator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = connect(self.url)

    def send(self, entries: Iterable[Entry], run: str = "r") -> None:
        ship(self.client, entries, run)

    def start(self) -> Aggregator:
        consumer = Consumer(self.client, AGGREGATORS, AGGREGATORS, (EVENTS, SAMPLES, USAGE))
        finalize = partial(self.finalize, self.url, "test", self.time.clock)
        aggregator = Aggregator(self.client, self.results, consumer, finalize, clock=self.time.clock)
        self.aggregators.append(aggregator)
        aggregator.resume()
        return aggregator

    def set_time(self, at_s: float) -> None:
        """Set the wall clock."""
        self.time.now_ns = START + round(at_s * SECOND)

    def finished(self) -> bool:
        """Whether every entry was moved, delivered and acknowledged."""
        if any(self.client.llen(inbox(stream)) for stream in STREAMS.values()):
            return False
        groups = {stream: self.client.xinfo_groups(stream)[0] for stream in STREAMS.values()}
        newest = {stream: self.client.xinfo_stream(stream)["last-generated-id"] for stream in groups}
        return all(g["pending"] == 0 and g["last-delivered-id"] == newest[stream] for stream, g in groups.items())

    def rows(self, run: str = "r") -> int:
        return int(pq.read_metadata(self.results / run / "requests.parquet").num_rows)

    def document(self, run: str = "r") -> dict[str, Any]:
        return dict(json.loads((self.results / run / "run.json").read_text()))

    def ledger(self, run: str = "r") -> tuple[int, int, int, int]:
        ledger = self.document(run)["ledgers"]["archive"]
        return ledger["produced"], ledger["stored"], ledger["dropped"], ledger["unknown"]

    def live(self, run: str = "r") -> dict[str, Any]:
        return dict(json.loads(self.client.get(live(run))))

    def dead_letters(self) -> list[dict[str, bytes]]:
        return [
            {key.decode(): value for key, value in fields.items()} for _, fields in self.client.xrange(DEAD_LETTERS)
        ]


def step(aggregator: Aggregator) -> None:
    """One pass with everything that is otherwise due twice a second."""
    aggregator._due_s = 0.0
    aggregator.step()


def work(aggregator: Aggregator, deployment: Deployment) -> None:
    """Pass after pass until nothing is left to be read or closed, and nothing has come for a minute."""
    step(aggregator)
    wait_until(lambda: reads_on(aggregator, deployment), "everything is read and acknowledged")
    deployment.time.monotonic_s += 60
    step(aggregator)
    wait_until(lambda: finish(aggregator), "every run that is complete is closed", timeout_s=60)


def reads_on(aggregator: Aggregator, deployment: Deployment) -> bool:
    """One pass if anything is left to be read; whether nothing is."""
    if not deployment.finished():
        step(aggregator)
    return deployment.finished()


def finish(aggregator: Aggregator) -> bool:
    """One pass; whether no run is being closed."""
    aggregator.step()
    return not aggregator.closing


def whole_run(incarnations: int = 2, seconds: int = 3, per_second: int = 10) -> RunMaker:
    run = RunMaker().started(workers=range(incarnations))
    makers = [IncarnationMaker(worker) for worker in range(incarnations)]
    for second in range(seconds):
        for incarnation in makers:
            run.add(incarnation.batch(samples(per_second, second, second + 1)))
    run.stopped(seconds, requests=incarnations * seconds * per_second)
    for incarnation in makers:
        run.add(incarnation.batch(at_s=seconds, final=True))
    return run
