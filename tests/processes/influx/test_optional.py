"""InfluxDB is optional: without it nothing of its client is loaded, and this room never looks into the collector."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadstone import influx
from loadstone.collector.service import serve_aggregator
from support.collecting import collector_settings, run_json, ship, small_run, threads
from support.processes import wait_until

if TYPE_CHECKING:
    from support.redis_server import RedisServer

MODULES = sorted(Path(influx.__file__).parent.glob("*.py"))

PROGRAM = """
import sys
from loadstone.collector.service import serve_aggregator as serve
from loadstone.settings import CollectorSettings, load

settings = load(CollectorSettings, {"redis_url": sys.argv[1], "results": sys.argv[2]}, environ={})
steps = iter([False, False, False])
serve(settings, lambda: next(steps, True))
print(*sorted(name for name in sys.modules if name.split(".")[0] == "influxdb_client"))
"""


def test_an_aggregator_without_influxdb_never_loads_its_client(valkey: RedisServer, tmp_path: Path):
    ship(valkey.client(), small_run().entries)
    command = [sys.executable, "-c", PROGRAM, valkey.url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (tmp_path / "r").is_dir(), "it has aggregated"
    assert done.stdout.split() == []


def test_an_aggregator_without_influxdb_closes_a_run(valkey: RedisServer, tmp_path: Path):
    with threads(collector_settings(valkey.url, tmp_path, None), serve_aggregator):
        ship(valkey.client(), small_run().entries)
        wait_until(lambda: bool(run_json(tmp_path)), "the run is closed", timeout_s=30)
    assert "influx" not in run_json(tmp_path)["ledgers"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_this_room_imports_nothing_of_the_collector(module: Path):
    tree = ast.parse(module.read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name.startswith("loadstone.collector")]
