"""Boards drawn by Grafana's libraries, from three real runs and two studies in a real InfluxDB; each drawing once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.board_fixtures import board_runs, facts
from support.board_studies import users_study
from support.board_viewers import aligned, of_paced, whole
from support.grafana_page import Drawn, HarnessPages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.board_runs import BoardRuns
    from support.boards.facts import Facts
    from support.chromium import Browser
    from support.grafana_queries import Shown

__all__ = ["board_runs", "facts"]

HEIGHT_PX = 4000
"""Everything of a board is in the window: a table draws nothing outside of it."""
Draw = Callable[..., Drawn]


@pytest.fixture(scope="session")
def harness() -> Iterator[HarnessPages]:
    """The harness, served."""
    with HarnessPages.serve() as pages:
        yield pages


@pytest.fixture(scope="session")
def views(board_runs: BoardRuns, facts: dict[str, Facts]) -> dict[tuple[str, str], Shown]:
    """What viewers look at, by board and viewer."""
    run, paced = board_runs.eventful.name, board_runs.paced.name
    shown, rate, over = whole(facts, run), of_paced(facts, run, paced), aligned(facts, run)

    def changed(shown: Shown, **variables: Any) -> Shown:
        return replace(shown, variables={**shown.variables, **variables})

    return {
        **{(board, "a run"): shown for board in ("run", "endpoint", "health", "capacity")},
        **{(board, "a run with a rate"): rate for board in ("run", "endpoint", "health")},
        ("runs", "all runs"): replace(shown, from_ms=rate.from_ms),
        ("compare", "three runs"): over,
        ("compare", "a run with itself"): changed(over, baseline=run, runs=(run,)),
        ("study", "limits"): changed(shown, replicas=("1", "2")),
        ("study", "users"): changed(shown, study=users_study(facts[run]), replicas=("1",)),
    }


@pytest.fixture(scope="session")
def draw(browser: Browser, harness: HarnessPages, board_runs: BoardRuns) -> Iterator[Draw]:
    """Draws a board, given as JSON, for a viewer: ``width`` in pixels, ``dark`` or light. Loads the harness once."""
    with browser.page(height=HEIGHT_PX) as page:
        harness.open(page)

        def drawn(board: dict[str, Any], shown: Shown, *, width: int = 1280, dark: bool = True) -> Drawn:
            page.prepare(width=width, height=HEIGHT_PX, dark=dark)
            return harness.draw(page, board, board_runs.influx, shown, width=width, dark=dark)

        yield drawn
