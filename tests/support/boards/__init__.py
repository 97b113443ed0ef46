"""What the queries of the boards have to return, computed from run folders alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.boards import other_boards, run_board

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

EXPECTED: Final[dict[str, dict[tuple[str, str], Callable[[View], Rows]]]] = {
    "run": run_board.EXPECTED,
    "endpoint": other_boards.ENDPOINT,
    "runs": other_boards.RUNS,
    "compare": other_boards.COMPARE,
    "capacity": other_boards.CAPACITY,
    "health": other_boards.HEALTH,
}
"""By board, without ``loadstone-``; by owner and letter of the query."""
