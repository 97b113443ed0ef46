"""`loadstone run` with InfluxDB beside the archive, from the command line to the last point."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from loadstone.errors import ExitCode
from support.loadstone_run import CALM
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.influx_server import InfluxServer

SCENARIO = """
from locust import FastHttpUser, task
class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/page")
"""


def run(folder: Path, server: CountingServer, influx_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "scenario.py").write_text(SCENARIO)
    load = ["-f", str(folder / "scenario.py"), "-H", server.url, "-u", "6", "-r", "100", "-t", "5s", "--workers", "2"]
    places = ["--results", str(folder / "results"), "--influx-url", influx_url]
    command = [sys.executable, "-m", "loadstone", "run", *load, *places, "--plain", *CALM, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def document_of(folder: Path) -> dict:
    (path,) = (folder / "results").glob("*/run.json")
    return dict(json.loads(path.read_text()), folder=path.parent)


def test_the_points_of_a_run_are_its_archived_rows_and_what_the_target_counted(
    influxdb: InfluxServer, counting_server: CountingServer, tmp_path: Path
):
    ended = run(tmp_path, counting_server, influxdb.url)
    document = document_of(tmp_path)
    assert ended.returncode == ExitCode.PASS, ended.stdout + ended.stderr
    n = document["requests"]
    assert n > 100
    assert document["ledgers"]["influx"] == {"stored": n, "rejected": 0, "pending": 0}
    assert influxdb.count("request", "rt_ms") == n == counting_server.count().total
    assert pq.read_metadata(document["folder"] / "requests.parquet").num_rows == n
    assert influxdb.query('SELECT "requests" FROM "run_summary"')[0]["requests"] == n


def test_a_run_whose_influxdb_is_away_ends_in_time_and_says_how_to_complete_it(
    counting_server: CountingServer, tmp_path: Path
):
    ended = run(tmp_path, counting_server, f"http://127.0.0.1:{free_port()}", "--influx-drain", "2s")
    document = document_of(tmp_path)
    assert ended.returncode == ExitCode.PASS, ended.stdout + ended.stderr
    influx = document["ledgers"]["influx"]
    assert (influx["stored"], influx["rejected"], influx["pending"]) == (0, 0, document["requests"])
    assert "Connection refused" in influx["pending_reason"]
    assert f"lacks {document['requests']} requests" in ended.stdout
    assert "Start InfluxDB, or correct --influx-url" in ended.stdout
    assert f"loadstone influx backfill {document['id']}" in ended.stdout
