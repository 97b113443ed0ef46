"""Against a real InfluxDB: as many points as samples, whatever they are called, and however often they are sent."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.cli.main import main
from loadstone.domain.text import clean_text
from loadstone.influx.line_protocol import clean_tag
from support.collecting import (
    collector_settings,
    influx_ledger,
    run_json,
    ship,
    small_run,
    threads,
    wait_for_influx,
)
from support.processes import wait_until
from support.run_maker import IncarnationMaker, RunMaker, Sample, samples

if TYPE_CHECKING:
    from pathlib import Path

    from support.influx_server import InfluxServer
    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("recent_runs")
HOSTILE = [
    "",
    " ",
    "\\",
    "ends in \\",
    "two \\\\",
    "a\\,b",
    "a\\ b",
    'q"uo"te',
    "comma, equals=, space",
    "new\nline\r\ttab\x00nul",
    "emoji 😀 é 漢",
    "x" * 10_000,
    "😀" * 3000,
    "\u2028line separator\x85next",
    "#hash",
    "time",
    "{json: [1]}",
    "https://me:secret@host/?token=abcdefgh",
]

ALPHABET = list('\\\\\\,,== ""#\n\r\t\x00\x7f\x85\u2028😀é漢ab\'{}[]')


def random_texts(count: int) -> list[str]:
    """Texts of what line protocol trips over; the seed makes them the same ones each time."""
    random = Random(7)
    return ["".join(random.choices(ALPHABET, k=random.randrange(12))) for _ in range(count)]


def test_a_hundred_thousand_requests_of_eight_workers_sent_twice_are_exactly_as_many_points(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path
):
    client = valkey.client()
    run = small_run(workers=8, batches=25, per_batch=500)
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        ship(client, [entry for entry in run.entries for _ in (1, 2)])
        ledger = wait_for_influx(client, tmp_path, timeout_s=90)
    assert ledger == {"stored": 100_000, "rejected": 0, "pending": 0}
    assert pq.read_metadata(tmp_path / "r" / "requests.parquet").num_rows == 100_000
    assert influxdb.count("request", "rt_ms") == 100_000
    rollups = influxdb.query('SELECT sum("n") AS "n" FROM "rollup_all" WHERE "res"=\'1s\'')
    assert rollups[0]["n"] == 100_000
    assert influxdb.query('SELECT "requests", "verdict" FROM "run_summary"')[0]["requests"] == 100_000


def test_backfill_writes_an_archived_run_exactly_and_doing_it_twice_changes_nothing(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from loadstone.collector.service import serve_aggregator

    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        ship(valkey.client(), small_run(batches=40).entries)
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=30)
    command = ["influx", "backfill", "latest", "--results", str(tmp_path), "--influx-url", influxdb.url]
    counts = []
    for _ in (1, 2):
        assert main(command) == 0
        assert "4000 requests stored, 0 rejected" in capsys.readouterr().out
        counts.append(
            {
                row["name"]: influxdb.query(f'SELECT count(*) FROM "{row["name"]}"')
                for row in influxdb.query("SHOW MEASUREMENTS")
            }
        )
    assert counts[0] == counts[1]
    assert influxdb.count("request", "rt_ms") == 4000
    assert influx_ledger(tmp_path) == {"stored": 4000, "rejected": 0, "pending": 0}


def test_what_was_written_live_and_what_a_backfill_writes_are_the_same_points(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path
):
    client = valkey.client()
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        ship(client, small_run(batches=30).entries)
        wait_for_influx(client, tmp_path)
    names = [row["name"] for row in influxdb.query("SHOW MEASUREMENTS")]
    before = {name: influxdb.query(f'SELECT * FROM "{name}"') for name in names}
    assert main(["influx", "backfill", "r", "--results", str(tmp_path), "--influx-url", influxdb.url]) == 0
    assert before == {name: influxdb.query(f'SELECT * FROM "{name}"') for name in names}
    assert {"request", "rollup", "rollup_all", "rollup_aligned", "worker", "run_event", "run_summary"} <= set(names)


def test_hostile_names_and_errors_arrive_intact_or_cut_as_documented(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path
):
    texts = HOSTILE + random_texts(400)
    taken = [Sample(number / 1000, name=("GET", text), error=text) for number, text in enumerate(texts)]
    run = (
        RunMaker()
        .started(0, workers=[1], scenario={"shape": HOSTILE[6]})
        .add(IncarnationMaker(worker=1).batch(taken, final=True))
    )
    client = valkey.client()
    ship(client, run.stopped(1, requests=len(taken)).entries)
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        assert wait_for_influx(client, tmp_path) == {"stored": len(texts), "rejected": 0, "pending": 0}
    rows = influxdb.query('SELECT "rt_ms", "error", "name" FROM "request"')
    assert [row["name"] or "" for row in rows] == [clean_tag(text) for text in texts]
    assert [row["error"] for row in rows] == [clean_text(text) for text in texts]
    assert not client.xlen("dead_letters:influx")


def test_two_workers_whose_clocks_are_three_seconds_apart_do_not_collide_and_keep_their_order(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path
):
    run = RunMaker().started(0, workers=[1, 2])
    right, ahead = IncarnationMaker(worker=1), IncarnationMaker(worker=2)
    for number in range(20):
        now_s = number / 2
        run.add(right.batch(samples(50, now_s, now_s + 0.4), at_s=now_s + 0.5))
        early = samples(50, now_s + 3, now_s + 3.4)
        run.add(ahead.batch(early, at_s=now_s + 3.5, clock_offset_ms=3000.0))
    run.add(right.batch([], at_s=11, final=True)).add(ahead.batch([], at_s=14, final=True))
    client = valkey.client()
    ship(client, run.stopped(11, requests=2000).entries)
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        assert wait_for_influx(client, tmp_path) == {"stored": 2000, "rejected": 0, "pending": 0}
    assert influxdb.count("request", "rt_ms") == 2000
    for worker in ("1", "2"):
        rows = influxdb.query(f'SELECT "rt_ms" FROM "request" WHERE "worker"=\'{worker}\'')
        times = [row["time"] for row in rows]
        assert len(times) == 1000
        assert times == sorted(times)
    document = run_json(tmp_path)
    assert document["verdict"] == "inconclusive"
    assert any("clock" in reason for reason in document["reasons"])
