"""No forged entry ends an Aggregator: it goes on, and a good run beside them is archived as if there were none."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.archive.finalize.closing import recover_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.collector.aggregator import Aggregator
from loadstone.collector.live.board import LiveBoard
from loadstone.collector.service import start_finalizer
from loadstone.influx.feed import InfluxFeed
from loadstone.influx.ledger import SharedLedger
from loadstone.report.html_report import make_report
from loadstone.stream.client import connect
from loadstone.stream.consumer import Consumer, is_finished
from loadstone.stream.inbox import LONGEST_ENTRY
from loadstone.stream.keys import AGGREGATORS, DEAD_LETTERS, EVENTS, SAMPLES, USAGE, WRITERS
from loadstone.stream.proof import MAC_BYTES
from support.collecting import run_json, ship, small_run
from support.fake_clock import FakeClock
from support.forged import FORGED, forged
from support.processes import wait_until
from support.run_maker import SECOND, START

if TYPE_CHECKING:
    from redis import Redis

    from support.redis_server import RedisServer

STREAMS = {EntryKind.SAMPLES: SAMPLES, EntryKind.EVENTS: EVENTS, EntryKind.USAGE: USAGE}
REASONS = json.loads((Path(__file__).parents[2] / "fixtures" / "forged_entries.json").read_text())
OF_ANOTHER_RUN = {"run is another one", "event of another run"}
"""They decode, and the Aggregator refuses them: they came for one run and say that they are of another."""


def refusals(name: str) -> list[str]:
    """A part of the reason for each entry of this kind that is refused."""
    if any(len(entry.blob) > LONGEST_ENTRY - MAC_BYTES for entry in forged(name)):
        return ["it has not the form of an entry, or more than 32 MiB"]
    if REASONS[name] is None and name not in OF_ANOTHER_RUN:
        return []
    return [REASONS[name] or "says that it is of run 'other'"]


@pytest.mark.attack(
    "every forged entry, one after the other, in the streams of an Aggregator that records a good run beside",
    "those that are refused are dead letters with their reasons; both runs are closed, the good one to the request",
)
@pytest.mark.timeout(300)
def test_forged_entries_end_neither_the_aggregator_nor_a_run_beside_them(valkey: RedisServer, tmp_path: Path):
    client, time, results = connect(valkey.url), FakeClock(now_ns=START + SECOND), tmp_path / "results"
    aggregator = Aggregator(
        client,
        results,
        Consumer(client, AGGREGATORS, AGGREGATORS, (EVENTS, SAMPLES, USAGE)),
        partial(start_finalizer, valkey.url, "test", time.clock),
        feed=InfluxFeed(client, SharedLedger(client, WRITERS), results),
        board=LiveBoard(time.clock),
        clock=time.clock,
    )
    aggregator.resume()
    good = small_run("good").entries
    ship(client, good[:10], "good")
    for name in FORGED:
        ship(client, forged(name), "r")
        wait_until(lambda: takes_all(aggregator, client), f"{name} is taken or put aside")
    ship(client, good[10:], "good")
    wait_until(lambda: takes_all(aggregator, client), "the rest of the good run is taken")
    reasons = [letter[b"reason"].decode() for _, letter in client.xrange(DEAD_LETTERS)]
    expected = [reason for name in FORGED for reason in refusals(name)]
    assert len(reasons) == len(expected)
    assert [reason for reason, part in zip(reasons, expected, strict=True) if part not in reason] == []
    time.advance(3600)
    wait_until(lambda: closes(aggregator), "both runs are closed", timeout_s=90)
    assert sorted(path.name for path in results.iterdir()) == ["good", "r"]
    record = run_json(results, "good")
    assert record["ledgers"]["archive"] == {
        "produced": 800,
        "stored": 800,
        "dropped": 0,
        "unknown": 0,
        "balances": True,
    }
    assert pq.read_metadata(results / "good" / "requests.parquet").num_rows == 800
    before = (results / "good" / "run.json").read_bytes()
    recover_run(RunFolder(results / "good"))
    assert (results / "good" / "run.json").read_bytes() == before
    for run in ("good", "r"):
        assert make_report(RunFolder(results / run)).stat().st_size > 0
    aggregator.close()
    client.close()


def takes_all(aggregator: Aggregator, client: Redis) -> bool:
    """One pass with everything that is otherwise due twice a second; whether nothing is left to be read."""
    aggregator._due_s = 0.0
    aggregator.step()
    return all(is_finished(client, stream, AGGREGATORS) for stream in STREAMS.values())


def closes(aggregator: Aggregator) -> bool:
    aggregator._due_s = 0.0
    aggregator.step()
    return not aggregator.runs and not aggregator.closing
