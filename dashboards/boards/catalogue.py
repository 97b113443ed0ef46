"""All boards, and the files that they become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from boards.capacity_board import CAPACITY_BOARD
from boards.compare_board import COMPARE_BOARD
from boards.endpoint_board import ENDPOINT_BOARD
from boards.health_board import HEALTH_BOARD
from boards.run_board import RUN_BOARD
from boards.runs_board import RUNS_BOARD
from boards.sdk import JSONEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from boards.board import Board

__all__ = ["BOARDS", "rendered", "write"]

BOARDS: Final[tuple[Board, ...]] = (
    RUN_BOARD,
    ENDPOINT_BOARD,
    RUNS_BOARD,
    COMPARE_BOARD,
    CAPACITY_BOARD,
    HEALTH_BOARD,
)


def rendered() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{board.uid}.json": _text(board) for board in BOARDS}


def write(folder: Path) -> None:
    """Write all files."""
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(board: Board) -> str:
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
