"""The expected results of the boards' queries, computed from run folders alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.boards import (
    capacity_board,
    compare_board,
    endpoint_board,
    health_board,
    run_board,
    runs_board,
    study_board,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

EXPECTED: Final[dict[str, dict[tuple[str, str], Callable[[View], Rows]]]] = {
    "run": run_board.EXPECTED,
    "endpoint": endpoint_board.EXPECTED,
    "runs": runs_board.EXPECTED,
    "compare": compare_board.EXPECTED,
    "capacity": capacity_board.EXPECTED,
    "study": study_board.EXPECTED,
    "health": health_board.EXPECTED,
}
"""By board (without ``loadstone-``), then by panel, variable or annotation and the query's reference letter."""
