"""What InfluxDB refuses is told while it happens and kept in run.json: cause, count and first line.

Real streams, Aggregator and writer; the double stands for InfluxDB 2.9.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.domain.live import decode_live
from loadstone.influx import trouble
from loadstone.influx.answer import WriteAnswer, WriteOutcome
from loadstone.influx.trouble import TroubleNote, read_trouble
from loadstone.stream.keys import INFLUX_TROUBLE, live
from support.collecting import collector_settings, influx_ledger, run_json, ship, small_run, threads, wait_for_influx
from support.processes import free_port, wait_until
from support.run_maker import IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from loadstone.domain.live import Trouble
    from support.faulty_influx import FaultyInflux
    from support.redis_server import RedisServer

ALL = 2 * 8 * 50
pytestmark = pytest.mark.usefixtures("impatient_writers")


def troubles(client: redis.Redis) -> tuple[Trouble, ...]:
    text = client.get(live("r"))
    return decode_live(text).troubles if text else ()


def wait_for(client: redis.Redis, found: Callable[[Trouble], bool]) -> Trouble:
    wait_until(lambda: any(map(found, troubles(client))), "the trouble is told", timeout_s=30)
    return next(filter(found, troubles(client)))


@pytest.mark.attack("wrong token during a run", "told while it lasts, gone when it is over, kept in run.json")
def test_a_refused_token_is_told_while_it_lasts_and_no_longer(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    (tmp_path / "token").write_text("wrong")
    faulty_influx.token = "right"
    client, run = valkey.client(), small_run()
    settings = collector_settings(valkey.url, tmp_path, faulty_influx.url, influx_token_file=str(tmp_path / "token"))
    with threads(settings):
        ship(client, run.entries[:-1])
        told = wait_for(client, lambda each: f"{ALL:,} requests of this run wait" in each.text)
        assert told.part == "InfluxDB"
        assert "HTTP 401: unauthorized access. Correct the token in the file" in told.text
        assert told.since_ns > 0
        ship(client, run.entries[-1:])
        wait_until(lambda: (influx_ledger(tmp_path) or {}).get("pending") == ALL, "the run is closed", timeout_s=30)
        assert "HTTP 401: unauthorized access. Correct the token" in influx_ledger(tmp_path)["pending_reason"]
        (tmp_path / "token").write_text("right")
        assert wait_for_influx(client, tmp_path) == {"stored": ALL, "rejected": 0, "pending": 0}
        wait_until(lambda: not client.exists(INFLUX_TROUBLE), "the trouble is over")


@pytest.mark.attack("InfluxDB away during a run", "told while it lasts")
def test_an_influxdb_that_is_away_is_told(valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trouble, "_MOMENT_NS", 0)
    client = valkey.client()
    with threads(collector_settings(valkey.url, tmp_path, f"http://127.0.0.1:{free_port()}")):
        ship(client, small_run(ends=False).entries)
        told = wait_for(client, lambda each: "InfluxDB does not write" in each.text)
    assert "Connection refused" in told.text
    assert "Start InfluxDB, or correct --influx-url" in told.text


@pytest.mark.attack("every line rejected", "cause, first line and count told in the run and kept in run.json")
def test_rejected_requests_are_told_with_cause_first_line_and_count(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    faulty_influx.kept_since_ns = 1 << 62
    client, run = valkey.client(), small_run()
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        ship(client, run.entries[:-1])
        told = wait_for(client, lambda each: f"rejected {ALL:,} of {ALL:,} requests" in each.text)
        assert "outside retention policy of duration 72h0m0s" in told.text
        assert "Raise the retention of the bucket" in told.text
        assert "The first line: request," in told.text
        ship(client, run.entries[-1:])
        ledger = wait_for_influx(client, tmp_path)
    assert (ledger["stored"], ledger["rejected"], ledger["pending"]) == (0, ALL, 0)
    assert ledger["points_rejected"] > 0
    assert ledger["first_rejected"].startswith("request,")
    assert "dropped=" in ledger["rejected_reason"]
    assert "Raise the retention" in ledger["rejected_reason"]
    assert run_json(tmp_path)["verdict"] != "fail"


def test_the_first_rejected_line_is_the_first_one_and_shows_no_secret(
    valkey: RedisServer, faulty_influx: FaultyInflux, tmp_path: Path
):
    taken = samples(20, 0, 1, name=("GET", "/poison?token=geheim"))
    client = valkey.client()
    ship(
        client, RunMaker().started(0).add(IncarnationMaker().batch(taken, final=True)).stopped(1.5, requests=20).entries
    )
    with threads(collector_settings(valkey.url, tmp_path, faulty_influx.url)):
        ledger = wait_for_influx(client, tmp_path)
    assert ledger["rejected"] == 20
    assert "unable to parse" in ledger["rejected_reason"]
    assert "geheim" not in str(ledger)


def test_a_note_expires_with_its_writer_and_is_not_cleared_by_another(valkey: RedisServer):
    client = valkey.client()
    refused = WriteAnswer(WriteOutcome.REFUSED, "HTTP 401: no", 401)
    one, other = (TroubleNote(client, name, pause_s=30, now_ns=lambda: 7) for name in ("one", "other"))
    one.failed(refused)
    other.over()
    found = read_trouble(client)
    assert found is not None
    assert (found.writer, found.refused, found.since_ns) == ("one", True, 7)
    assert 30 < client.ttl(INFLUX_TROUBLE) <= 60
    one.over()
    assert read_trouble(client) is None


def test_a_note_of_another_version_is_no_trouble(valkey: RedisServer):
    valkey.client().set(INFLUX_TROUBLE, b'{"writer": 5}')
    assert read_trouble(valkey.client()) is None
