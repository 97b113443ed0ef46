"""Three real runs in a real InfluxDB, made once for all tests of the boards: fixtures for their conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.board_runs import run_for_boards
from support.board_studies import write_studies
from support.boards.facts import Facts
from support.counting_server import CountingServer
from support.influx_server import InfluxServer
from support.redis_server import RedisServer
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.board_runs import BoardRuns

__all__ = ["board_runs", "facts"]


@pytest.fixture(scope="session")
def board_runs(valkey_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardRuns]:
    """The folders of the runs and the InfluxDB that holds them."""
    folder = tmp_path_factory.mktemp("boards")
    influx = InfluxServer(server_binary("influxd"), server_binary("nginx"), folder / "influxdb")
    valkey = RedisServer(valkey_binary, folder / "valkey")
    try:
        with CountingServer(folder / "target") as target:
            runs = run_for_boards(folder, influx.start(), valkey.start(), target)
            write_studies(runs)
            yield runs
    finally:
        valkey.close()
        influx.kill()


@pytest.fixture(scope="session")
def facts(board_runs: BoardRuns) -> dict[str, Facts]:
    """The runs by id."""
    return {each.id: each for each in map(Facts, (board_runs.quiet, board_runs.paced, board_runs.eventful))}
