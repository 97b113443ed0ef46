"""Workers joined to a run from elsewhere, whose clock is wrong and is set, or whose master vanishes."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.journal.reader import read_journal
from loadstone.collector.service import serve_aggregator
from loadstone.domain.batch import decode_batch
from loadstone.hook.inspect_scenario import PLUGIN_FILE
from support.collecting import collector_settings, threads
from support.processes import ServerProcess, free_port, port_answers, wait_until
from support.shifted_clock import COUNTER, WITH_CLOCK, Clock

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.domain.batch import Batch
    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer
    from support.loadstone_run import LoadstoneRun
    from support.redis_server import RedisServer

SCENARIO = WITH_CLOCK + COUNTER
SECOND = 1_000_000_000
LATE = 1
"""Locust's index of the second worker that joins."""


def batches_in(folder: Path) -> list[Batch]:
    """The batches in the journal of a run."""
    entries = read_journal(RunFolder(folder).journal)
    return [decode_batch(entry.blob) for entry in entries if entry.kind is EntryKind.SAMPLES]


def produced_by(run: LoadstoneRun, worker: int) -> list[int]:
    """The ends of a worker's requests, in the order in which it shipped them."""
    mine = sorted((each for each in batches_in(run.run_folder()) if each.worker == worker), key=lambda each: each.seq)
    return [end for batch in mine for end in batch.columns.end_ns.tolist()]


@pytest.mark.parametrize("ahead_s", [0, 3])
def test_a_clock_that_is_set_in_mid_run_moves_no_point_and_one_that_is_off_makes_the_run_inconclusive(
    new_run,
    counting_server: CountingServer,
    valkey: RedisServer,
    influxdb: InfluxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: float,
):
    scenario = tmp_path / "scenario.py"
    scenario.write_text(SCENARIO)
    load = ("-f", str(scenario), "-u", "2", "-r", "10", "-t", "5m", "--workers", "1", "--plain")
    places = ("--host", counting_server.url, "--redis-url", valkey.url, "--influx-url", influxdb.url)
    run: LoadstoneRun = new_run(None, *load, *places).start()
    master = run.part("locust", "--master ").cmdline()
    run.wait_for(lambda: counting_server.count().total > 0 or None)
    clock = Clock(tmp_path, ahead_s, monkeypatch)
    join = ("--master", "127.0.0.1", "--master-port", master[master.index("--master-bind-port") + 1])
    new_run(None, "-f", str(scenario), *join, "--redis-url", valkey.url, verb="worker").start()

    def stored() -> int:
        return influxdb.count("request", "rt_ms", f"\"worker\"='{LATE}'")

    run.wait_for(lambda: stored() > 100 or None)
    clock.step(-10)
    before = stored()
    run.wait_for(lambda: stored() > before + 200 or None)
    for _ in range(20):  # between two heartbeats of the master, more than what an orphan waits for
        clock.step(+4)
        time.sleep(0.1)
    before = stored()
    run.wait_for(lambda: stored() > before + 200 or None)
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output

    found, total = run.run_json(), counting_server.count().total
    assert found["requests"] == influxdb.count("request", "rt_ms") == total
    ends = produced_by(run, LATE)
    assert ends == sorted(set(ends))
    points = influxdb.query(f'SELECT "rt_ms", "name" FROM "request" WHERE "worker"=\'{LATE}\'')
    assert [point["time"] for point in points] == ends
    assert [point["name"] for point in points] == [f"/{number % 10}" for number in range(len(ends))]
    health = {worker["worker"]: worker["clock_offset_ms"] for worker in found["worker_health"]}
    assert health[LATE] - health[0] == pytest.approx(ahead_s * 1000, abs=50)
    assert any("clocks" in reason for reason in found["reasons"]) == (ahead_s > 0), found["reasons"]
    assert not any(event["kind"] == "orphaned" for event in run.events())


def locust_master(scenario: Path, target: CountingServer, valkey: RedisServer, port: int, log: Path) -> ServerProcess:
    """A master of its own: `loadstone run` would end together with its workers."""
    hooked = ("/usr/bin/env", f"LOADSTONE_REDIS_URL={valkey.url}", sys.executable, "-m", "locust")
    files = ("-f", f"{scenario},{PLUGIN_FILE}", "--master", "--master-bind-host", "127.0.0.1")
    load = ("--headless", "-u", "4", "-r", "10", "--expect-workers", "2", "-H", target.url)
    command = (*hooked, *files, "--master-bind-port", str(port), *load)
    return ServerProcess(command, log=log, ready=lambda: port_answers(port))


def test_workers_whose_master_vanishes_stop_their_users_ship_what_they_hold_and_fail(
    new_run, counting_server: CountingServer, valkey: RedisServer, tmp_path: Path
):
    scenario, results, port = tmp_path / "scenario.py", tmp_path / "results", free_port()
    scenario.write_text(SCENARIO)
    join = ("-f", str(scenario), "--master", "127.0.0.1", "--master-port", str(port), "--redis-url", valkey.url)
    with (
        threads(collector_settings(valkey.url, results, None), serve_aggregator),
        locust_master(scenario, counting_server, valkey, port, tmp_path / "master.log") as master,
    ):
        workers = [new_run(None, *join, verb="worker").start() for _ in range(2)]
        wait_until(lambda: counting_server.count().total > 300, "users run", timeout_s=60)
        killed_at_ns = time.time_ns()
        master.kill()
        assert [worker.finish() for worker in workers] == [3, 3]
        received = counting_server.count().total
        wait_until(lambda: any(results.glob("*/run.json")), "the run is closed for want of its master", timeout_s=90)
    (folder,) = results.iterdir()
    document = json.loads((folder / "run.json").read_text())
    incarnations, ledger = document["boots"], document["ledgers"]["archive"]
    assert [incarnation["final"] for incarnation in incarnations] == [True, True]
    assert ledger["balances"]
    assert ledger["dropped"] == ledger["unknown"] == 0
    assert ledger["stored"] <= counting_server.count().total == received <= ledger["stored"] + document["aborted"]
    assert document["verdict"] == "inconclusive"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert sorted(event["data"]["worker"] for event in events if event["kind"] == "orphaned") == [0, 1]
    last_end_ns = max(int(batch.columns.end_ns[-1]) for batch in batches_in(folder) if len(batch.columns))
    assert last_end_ns - killed_at_ns < 10 * SECOND, "the bound that is promised"
