"""Draw a picture of each board into docs/images: `make dashboards-pictures`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from boards.generate import BOARDS
from support.board_picture import board_page
from support.board_runs import run_for_boards
from support.boards.facts import Facts
from support.boards.run_board import epoch_ms
from support.chromium import Browser
from support.counting_server import CountingServer
from support.grafana_queries import ALL, BoardQuery, Shown, expand, queries, with_hidden
from support.grafana_queries import BOARDS as FOLDER
from support.influx_server import InfluxServer
from support.redis_server import RedisServer
from support.servers import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.board_runs import BoardRuns

STEADY = 3000
ALIGNED_MS = 4_102_444_800_000
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
            yield run_for_boards(folder, influx.start(), valkey.start(), target, steady=STEADY, quiet_s=30)
    finally:
        valkey.close()
        influx.kill()


def seen(runs: BoardRuns, uid: str) -> Shown:
    """The eventful run in its own time range, beside the quiet one."""
    quiet, run = Facts(runs.quiet), Facts(runs.eventful)
    variables = {
        "run": run.id, "baseline": quiet.id, "runs": (run.id,), "name": ALL, "service": ALL, "res": "1",
        "objective": "250",
    }  # fmt: skip
    start_ms, end_ms = epoch_ms(run.document["started_at"]), epoch_ms(run.document["ended_at"])
    if uid == "loadstone-compare":
        return with_hidden(
            uid, runs.influx.query, Shown(from_ms=ALIGNED_MS, to_ms=ALIGNED_MS + 120_000, variables=variables)
        )
    early_ms = start_ms - (60_000 if uid == "loadstone-runs" else 1_000)
    return Shown(from_ms=early_ms, to_ms=end_ms + 1_000, variables=variables)


def draw_every_board(runs: BoardRuns, tmp_path: Path):
    browser = Browser(server_binary("chromium"))
    try:
        for board in filter(attrgetter("has_picture"), BOARDS):
            shown = seen(runs, board.uid)

            def ask(text: str, uid: str = board.uid, shown: Shown = shown) -> list[dict[str, Any]]:
                return runs.influx.query(expand(BoardQuery(uid, "", "A", text), shown))

            marks = [each for each in queries(board.uid) if each.owner.startswith("annotation")]
            events = [row for each in marks for row in ask(each.text) if "kind" in row]
            page = tmp_path / f"{board.uid}.html"
            page.write_text(board_page(board.uid, ask, events, start_ns(shown), 1))
            with browser.page(width=1200, height=800) as tab:
                tab.open(page.as_uri(), ready="document.title === 'drawn'")
                tab.screenshot(IMAGES / f"{board.uid}.png")
            assert (IMAGES / f"{board.uid}.png").stat().st_size > 10_000
    finally:
        browser.close()


def start_ns(shown: Shown) -> int:
    return shown.from_ms * 1_000_000
