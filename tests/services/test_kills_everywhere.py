"""Out-of-memory kills in all places where people look: archive, report, live snapshot, InfluxDB, boards."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.charts.archive_data import report_data
from loadstone.settings import UsageSettings, load
from loadstone.stream.keys import live
from loadstone.usage.sampler import containers_of
from support import run_maker
from support.collecting import collector_settings, run_json, ship, small_run, threads, wait_for_influx
from support.container_doubles import PROJECT, CadvisorDouble, Container, EngineDouble
from support.grafana_queries import ALL, Shown, expand, queries
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadstone.domain.usage_tick import Usage
    from support.influx_server import InfluxServer
    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("recent_runs")
KILLS = 10


def ticks_of_a_container_that_is_killed(folder: Path) -> Iterator[tuple[Usage, ...]]:
    """What the sampler records of a container that is killed ten times, and restarted by its policy each time."""
    target = Container()
    with EngineDouble(folder / "s", [target]).running() as engine, CadvisorDouble(target).running() as cadvisor:
        names = {"CADVISOR_URL": cadvisor.url, "DOCKER_SOCKET": str(engine.socket), "COMPOSE_PROJECT": PROJECT}
        containers = containers_of(
            load(UsageSettings, environ={f"LOADSTONE_{key}": text for key, text in names.items()})
        )
        assert containers is not None
        assert containers._kills is not None
        wait_until(lambda: engine.listeners == 1, "the sampler listens")
        yield containers.take(time.time_ns())[0]
        for _ in range(KILLS):
            engine.kill(target)
            target.is_up = False
            wait_until(lambda: bool(containers._kills._kills), "the kill is told")  # type: ignore[union-attr]
            yield containers.take(time.time_ns())[0]
            target.restart()
            yield containers.take(time.time_ns())[0]
        containers.close()


@pytest.mark.attack("a container is killed ten times in a run, and restarted each time", "ten in every place")
def test_ten_kills_are_ten_in_archive_report_live_snapshot_influxdb_and_boards(
    valkey: RedisServer, influxdb: InfluxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ticks = list(ticks_of_a_container_that_is_killed(tmp_path))
    run = small_run(batches=2 * len(ticks), per_batch=5, ends=False)
    for second, rows in enumerate(ticks):
        run.usage(second + 0.5, *rows)
    run.stopped(len(ticks) + 1)
    client = valkey.client()
    with threads(collector_settings(valkey.url, tmp_path, influxdb.url, influx_timeout="10s")):
        ship(client, run.entries)
        wait_for_influx(client, tmp_path, timeout_s=60)
    closed = ClosedRun.open(RunFolder(tmp_path / "r"))
    (service,) = [row for row in report_data(closed).tables.usage if row[0] == "target"]
    (container,) = json.loads(client.get(live("r")) or b"")["usage"]
    found = {
        "usage.parquet": sum(pq.read_table(tmp_path / "r" / "usage.parquet")["oom"].to_pylist()),
        "run.json": run_json(tmp_path)["usage"]["target"]["oom"],
        "report": service[-1],
        "live snapshot": container["oom"],
        "InfluxDB": influxdb.query('SELECT sum("oom") AS "n" FROM "container"')[0]["n"],
        "run summary in InfluxDB": influxdb.query('SELECT "target_oom" AS "n" FROM "run_summary"')[0]["n"],
        **on_boards(influxdb, len(ticks)),
    }
    assert found == dict.fromkeys(found, KILLS)
    assert len(found) == 9


def on_boards(influxdb: InfluxServer, seconds: int) -> dict[str, int]:
    """What the boards' own queries give: tables add kills up, and each mark on a chart is a tick with kills."""
    variables = {"run": "r", "runs": ("r",), "name": ALL, "service": ALL, "res": "1", "objective": "", "baseline": "r"}
    start_ms = run_maker.START // 1_000_000
    shown = Shown(from_ms=start_ms - 5000, to_ms=start_ms + 1000 * (seconds + 5), variables=variables)
    wanted = [
        (board, query)
        for board in ("loadstone-run", "loadstone-capacity")
        for query in queries(board)
        if re.search(r'"oom"', query.text)
    ]
    assert wanted
    found = {}
    for board, query in wanted:
        rows = influxdb.query(expand(query, shown))
        found[f"{board}: {query.owner}"] = sum(row.get("out of memory") or row.get("kills") or 0 for row in rows)
    return found
