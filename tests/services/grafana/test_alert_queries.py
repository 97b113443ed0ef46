"""The queries of the alert rules against a real InfluxDB: their values are the archive's, and the right ones fire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from boards.alerts import ALERTS
from support.boards.facts import MS, NS, Figures
from support.boards.run_board import epoch_ms
from support.boards.values import difference
from support.boards.view import View
from support.grafana_queries import ALL, Shown

if TYPE_CHECKING:
    from support.board_runs import BoardRuns
    from support.boards.facts import Facts
    from support.boards.values import Rows

SECONDS = {(alert.uid, query.ref): query.seconds for alert in ALERTS for query in alert.queries}


@pytest.fixture(scope="module")
def run(facts: dict[str, Facts], board_runs: BoardRuns) -> Facts:
    return facts[board_runs.eventful.name]


def view(facts: dict[str, Facts], run: Facts, seconds: int) -> View:
    """The range that Grafana asks for when it judges a rule at the end of the run."""
    to_ms = epoch_ms(run.document["ended_at"])
    everything = {"run": run.id, "name": ALL, "service": ALL, "res": "1"}
    return View(facts, Shown(from_ms=to_ms - seconds * 1000, to_ms=to_ms, variables=everything))


def failures(view: View) -> Rows:
    return [{"run": view.run.id, "failed": Figures(view.requests()).failed_pct}]


def last_p95(view: View) -> Rows:
    spans = view.run.spans(view.requests(10), 10)
    return [{"run": view.run.id, "p95": Figures(spans[max(spans)]).percentile(95)}]


def limits(view: View) -> Rows:
    return [{"run": each, "limit": 500} for each in view.runs]


def memory(view: View) -> Rows:
    known = {key: [each.mem_pct for each in ticks if each.mem_pct] for key, ticks in view.containers().items()}
    return [
        {"run": view.run.id, "service": service, "container": container, "memory": max(values)}
        for (service, container), values in known.items()
        if values
    ]


def dropped(view: View) -> Rows:
    points = [each for each in view.run.workers if view.covers(each.at_ns)]
    workers = {each.worker for each in points}
    return [
        {"run": view.run.id, "worker": worker, "dropped": max(e.batch.dropped for e in points if e.worker == worker)}
        for worker in workers
    ]


EXPECTED = {
    ("loadstone-failures", "A"): failures,
    ("loadstone-p95", "A"): last_p95,
    ("loadstone-p95", "L"): limits,
    ("loadstone-memory", "A"): memory,
    ("loadstone-dropped", "A"): dropped,
}
TAGS = {"run", "service", "container", "worker"}
FIRES = {"loadstone-failures": True, "loadstone-p95": False, "loadstone-memory": True, "loadstone-dropped": False}


def answers(board_runs: BoardRuns, view: View, text: str) -> Rows:
    bounds = f"time >= {view.shown.from_ms}ms and time <= {view.shown.to_ms}ms"
    rows = board_runs.influx.query(text.replace("$timeFilter", bounds))
    return [row for row in rows if "limit" in row or row["run"] == view.run.id]


def test_every_query_has_an_expectation():
    assert EXPECTED.keys() == SECONDS.keys()
    assert MS * 1000 == NS


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.uid)
def test_a_rule_sees_what_the_archive_gives_and_fires_when_it_should(
    board_runs: BoardRuns, facts: dict[str, Facts], run: Facts, alert
):
    values = []
    for query in alert.queries:
        seen = view(facts, run, query.seconds)
        rows = answers(board_runs, seen, query.text)
        assert rows
        assert not difference(EXPECTED[alert.uid, query.ref](seen), rows)
        mine = [row for row in rows if row["run"] == run.id]
        values.append(
            [value for row in mine for value in row.values() if isinstance(value, int | float) and value < 1e9]
        )
    judged = values[0] if len(values) == 1 else [values[0][0] - values[1][0]]
    assert any(value > alert.limit for value in judged) == FIRES[alert.uid]
