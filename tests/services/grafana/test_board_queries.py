"""Every query of every board against a real InfluxDB after real runs: its rows are what the run folders give.

Queries are expanded as Grafana expands them, for several viewers: all of a run with everything chosen, a part of it
with one awkward name, coarser resolutions, several values. A query that finds nothing fails unless EMPTY allows it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.board_studies import users_study
from support.board_viewers import ALIGNED_MS, aligned, of_paced, whole
from support.boards import EXPECTED
from support.boards.values import difference
from support.boards.view import View
from support.grafana_queries import BOARDS, Shown, expand, queries, with_hidden

if TYPE_CHECKING:
    from support.board_runs import BoardRuns
    from support.boards.facts import Facts
    from support.grafana_queries import BoardQuery

AWKWARD = """Bob's "special" item/7 (a|b) 100% $x^2 [k] \\d+"""
QUERIES = [query for path in sorted(BOARDS.glob("*.json")) for query in queries(path.stem)]
EMPTY: dict[tuple[str, str, str], str] = {}
"""Queries that may find nothing here, and why."""


def viewers(facts: dict[str, Facts], run: str) -> dict[str, Shown]:
    """What the tests look at."""
    shown = whole(facts, run)
    middle_ms = (shown.from_ms + shown.to_ms) // 2

    def changed(shown: Shown, **variables: Any) -> Shown:
        return replace(shown, variables={**shown.variables, **variables})

    return {
        "everything": shown,
        "one awkward name, one service, from the middle on": changed(
            replace(shown, from_ms=middle_ms + 137), name=(AWKWARD,), service=("balancer",)
        ),
        "two names at ten seconds, in few points": changed(
            replace(shown, points=10),
            name=("/fragile", AWKWARD),
            service=("balancer", "target"),
            res="10",
            replicas="1",
        ),
        "minutes, without an objective": changed(
            replace(shown, from_ms=shown.from_ms - 60_000), res="60", objective="", study=users_study(facts[run])
        ),
    }


def laid_over(facts: dict[str, Facts], run: str, paced: str) -> dict[str, Shown]:
    """What the tests look at on a board whose time counts from the beginning of each run."""
    begin = aligned(facts, run)
    alone = {**begin.variables, "baseline": run, "runs": (paced,)}
    return {
        "all of them": begin,
        "the other way round, without the beginning": replace(begin, from_ms=ALIGNED_MS + 1, variables=alone),
    }


def seen(board: str, facts: dict[str, Facts], runs: BoardRuns) -> dict[str, Shown]:
    """What the tests look at on a board; studies have no rate."""
    run, paced = runs.eventful.name, runs.paced.name
    if board == "compare":
        return laid_over(facts, run, paced)
    found = viewers(facts, run)
    return found if board == "study" else {**found, "a run with a rate": of_paced(facts, run, paced)}


def answer(board_runs: BoardRuns, facts: dict[str, Facts], query: BoardQuery, shown: Shown) -> list[dict[str, Any]]:
    rows = board_runs.influx.query(expand(query, with_hidden(query.board, board_runs.influx.query, shown)))
    return [without_time_of_totals(row) for row in rows]


def without_time_of_totals(row: dict[str, Any]) -> dict[str, Any]:
    """SHOW TAG VALUES names the tag in each row."""
    return {key: value for key, value in row.items() if key != "key"}


def test_every_query_has_an_expectation_and_every_expectation_a_query():
    known = {(board, *key) for board, expected in EXPECTED.items() for key in expected}
    assert {query.key for query in QUERIES} == known
    assert len(QUERIES) == len(known)
    assert EMPTY.keys() <= known


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: "-".join(query.key))
def test_a_query_returns_what_the_archive_gives(board_runs: BoardRuns, facts: dict[str, Facts], query: BoardQuery):
    board, owner, ref = query.key
    expected = EXPECTED[board][owner, ref]
    wrong, found_any = {}, False
    for name, shown in seen(board, facts, board_runs).items():
        view = View(facts, shown)
        rows = answer(board_runs, facts, query, shown)
        found_any = found_any or bool(rows)
        if told := difference(expected(view), rows):
            wrong[name] = f"{told}\n{expand(query, with_hidden(query.board, board_runs.influx.query, shown))}"
    assert wrong == {}
    assert found_any or query.key in EMPTY
