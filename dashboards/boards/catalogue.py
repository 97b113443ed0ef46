"""All boards, alert rules and their reference page, and the files that they become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from boards.alerts import alert_file
from boards.capacity_board import CAPACITY_BOARD
from boards.compare_board import COMPARE_BOARD
from boards.endpoint_board import ENDPOINT_BOARD
from boards.health_board import HEALTH_BOARD
from boards.page import boards_page
from boards.run_board import RUN_BOARD
from boards.runs_board import RUNS_BOARD
from boards.sdk import JSONEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from boards.board import Board

__all__ = ["ALERTS_FILE", "BOARDS", "PAGE_FILE", "rendered", "write"]

BOARDS: Final[tuple[Board, ...]] = (
    RUN_BOARD,
    ENDPOINT_BOARD,
    RUNS_BOARD,
    COMPARE_BOARD,
    CAPACITY_BOARD,
    HEALTH_BOARD,
)


PAGE_FILE: Final = "docs/reference/boards.md"
ALERTS_FILE: Final = "grafana/provisioning/alerting/loadstone.yaml"


def rendered() -> dict[str, str]:
    """The text of each file, by its path in the repository."""
    boards = {f"dashboards/{board.uid}.json": _text(board) for board in BOARDS}
    return {**boards, ALERTS_FILE: alert_file(), PAGE_FILE: boards_page(BOARDS)}


def write(root: Path) -> None:
    """Write all files below a folder."""
    for name, text in rendered().items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _text(board: Board) -> str:
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
