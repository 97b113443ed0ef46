"""Draw a picture of each board into docs/images: `make dashboards-pictures`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from boards.generate import BOARDS
from support.board_runs import run_for_boards
from support.board_viewers import ALIGNED_MS
from support.boards.facts import Facts
from support.boards.run_board import epoch_ms
from support.chromium import Browser
from support.counting_server import CountingServer
from support.grafana_faults import wrong_workings
from support.grafana_page import HarnessPages
from support.grafana_queries import ALL, Shown, board
from support.grafana_queries import BOARDS as FOLDER
from support.influx_server import InfluxServer
from support.redis_server import RedisServer
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.board_runs import BoardRuns

STEADY = 3000
WIDTH_PX, ROW_PX, EDGES_PX = 1280, 38, 24
IMAGES = FOLDER.parent / "docs" / "images"


@pytest.fixture(scope="module")
def runs(
    influxd_binary: Path, nginx_binary: Path, valkey_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BoardRuns]:
    folder = tmp_path_factory.mktemp("pictures")
    influx = InfluxServer(influxd_binary, nginx_binary, folder / "influxdb")
    valkey = RedisServer(valkey_binary, folder / "valkey")
    try:
        with CountingServer(folder / "target") as target:
            yield run_for_boards(
                folder, influx.start(), valkey.start(), target, steady=STEADY, quiet_s=30, invented=False
            )
    finally:
        valkey.close()
        influx.kill()


def seen(runs: BoardRuns, uid: str) -> Shown:
    """The eventful run in its own time range, beside the quiet one."""
    quiet, run = Facts(runs.quiet), Facts(runs.eventful)
    variables = {
        "run": run.id, "baseline": quiet.id, "runs": (run.id, Facts(runs.paced).id), "name": ALL, "service": ALL,
        "res": "1", "objective": "250",
    }  # fmt: skip
    start_ms, end_ms = epoch_ms(run.document["started_at"]), epoch_ms(run.document["ended_at"])
    if uid == "loadstone-compare":
        return Shown(from_ms=ALIGNED_MS, to_ms=ALIGNED_MS + 60_000, variables=variables)
    early_ms = start_ms - (90_000 if uid == "loadstone-runs" else 1_000)
    return Shown(from_ms=early_ms, to_ms=end_ms + 1_000, variables=variables)


def draw_every_board(runs: BoardRuns):
    browser = Browser(server_binary("chromium"))
    try:
        with HarnessPages.serve() as harness:
            for each in filter(attrgetter("has_picture"), BOARDS):
                found = board(each.uid)
                with browser.page(width=WIDTH_PX, height=height_px(found)) as page:
                    harness.open(page)
                    drawn = harness.draw(page, found, runs.influx, seen(runs, each.uid), width=WIDTH_PX, dark=True)
                    assert wrong_workings(drawn) == []
                    page.screenshot(IMAGES / f"{each.uid}.png")
    finally:
        browser.close()


def height_px(found: dict[str, Any]) -> int:
    return max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in found["panels"]) * ROW_PX + EDGES_PX
