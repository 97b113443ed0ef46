"""The live page's server: the archive's numbers while they come, reconnecting, and nothing but a run's own files."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow.parquet as pq
import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.run_state import RunState
from loadstone.charts.live_data import KEPT_S
from loadstone.charts.page import write_report
from loadstone.collector.live.board import FILES, LiveBoard
from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import snapshot
from loadstone.domain.event import Event, ExceptionRaised
from loadstone.domain.objective import Outcome
from support.closed_runs import HOSTILE, MadeRun
from support.processes import free_port
from support.run_files import flip
from support.run_maker import SECOND, START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


RUN = "20260920-120000-aaaa"


@contextmanager
def served(results: Path) -> Iterator[tuple[LiveBoard, httpx.Client]]:
    port = free_port()
    with (
        serving("127.0.0.1", port, results) as board,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client,
    ):
        assert board is not None
        yield board, client


def state_after(entries: int | None = None, **made: Any) -> RunState:
    state = RunState()
    for entry in MadeRun(run=RUN, **made).entries()[:entries]:
        state.apply(entry)
    return state


def show(board: LiveBoard, state: RunState, *, run: str = RUN, now_ns: int = START) -> None:
    board.show(snapshot(run, state, now_ns=now_ns), state)


def next_message(client: httpx.Client, **headers: str) -> tuple[str, dict[str, Any]]:
    """Id and body of the first event of a stream."""
    number = ""
    with client.stream("GET", "/events", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: {") and number:
                return number, json.loads(line[6:])
    raise AssertionError("no event came")


def test_every_second_that_is_shown_is_that_of_the_archive(tmp_path: Path):
    folder = MadeRun(run=RUN).close(tmp_path)
    with served(tmp_path) as (board, client):
        show(board, state_after(), now_ns=START + 20 * SECOND)
        _, body = next_message(client)
    rows = [row for row in pq.read_table(folder.rollups).to_pylist() if row["name"] == "/predict"]
    points = dict(body["points"])
    assert [points[at]["names_rate"]["POST /predict"] for at in range(20)] == [row["n"] for row in rows]
    assert [points[at]["names_p95"]["POST /predict"] for at in range(20)] == [row["p95_us"] / 1000 for row in rows]
    assert points[19]["cpu"] == {"target-1": pytest.approx(0.9), "limit": 2.0}


def test_a_page_that_reconnects_gets_what_it_missed_and_no_more(tmp_path: Path):
    with served(tmp_path) as (board, client):
        show(board, state_after(30))
        number, first = next_message(client)
        board._due_s = 0.0
        show(board, state_after(), now_ns=START + 20 * SECOND)
        _, second = next_message(client, **{"Last-Event-ID": number})
        _, whole = next_message(client)
    assert len(first["points"]) < len(whole["points"]) == 20
    assert {at for at, _ in second["points"]} >= {at for at, _ in whole["points"]} - {at for at, _ in first["points"]}
    assert len(second["points"]) < len(whole["points"])


def test_a_page_that_saw_another_run_gets_all_of_this_one(tmp_path: Path):
    with served(tmp_path) as (board, client):
        show(board, state_after())
        _, body = next_message(client, **{"Last-Event-ID": "another/9999"})
    assert len(body["points"]) == 20


def test_a_page_that_reconnects_to_a_new_collector_gets_all_of_its_points_and_keeps_its_own(tmp_path: Path):
    long = {"seconds": 100, "rate": 1}
    with served(tmp_path) as (board, client):
        show(board, state_after(100, **long))
        show(board, state_after(110, **long))  # the page is at a higher number than the next board will be
        number, _ = next_message(client)
    with served(tmp_path) as (board, client):
        show(board, state_after(**long))
        again, body = next_message(client, **{"Last-Event-ID": number})
        board._due_s = 0.0
        show(board, state_after(**long), now_ns=START + 100 * SECOND)
        _, unchanged = next_message(client, **{"Last-Event-ID": again})
    assert [at for at, _ in body["points"]] == list(range(40, 100)), "a journal that is replayed has a minute in memory"
    assert body["oldest"] <= 0, "what the page has of the 40 seconds before stays"
    assert unchanged["points"] == []


def test_a_page_keeps_half_an_hour_and_learns_the_second_that_is_0(tmp_path: Path):
    board, state, first = LiveBoard(), state_after(), START // SECOND
    show(board, state)
    message = board.message(("", 0), None)
    assert message is not None
    body = json.loads(message.text)
    assert (body["begin"], body["oldest"]) == (first, 19 - KEPT_S)


def test_a_closed_run_shows_its_verdict_and_links_that_work(tmp_path: Path):
    folder = MadeRun(run=RUN).close(tmp_path)
    record = ClosedRun.open(folder).record
    with served(tmp_path) as (board, client):
        state = state_after()
        board.close(snapshot(RUN, state, now_ns=START), state, record)
        _, body = next_message(client)
        links = dict(map(tuple, body["links"]))
        assert body["state"]["verdict"] == "pass"
        assert client.get("/" + links["stats.csv"]).content == folder.stats_csv.read_bytes()
        assert client.get("/" + links["report.html"]).status_code == 404


def test_a_closed_run_shows_its_objectives_as_they_were_judged_and_no_longer_those_of_the_newest_minute(tmp_path: Path):
    record = ClosedRun.open(MadeRun(run=RUN).close(tmp_path)).record
    early = state_after(20)
    with served(tmp_path) as (board, client):
        show(board, early)
        _, before = next_message(client)
        board.close(snapshot(RUN, early, now_ns=START), early, record)
        _, after = next_message(client)
    assert [row[2] for row in before["tables"]["objectives"]] != [each.value for each in record.objectives]
    assert [(row[0], row[1], row[2], row[3], row[7]) for row in after["tables"]["objectives"]] == [
        (each.text, Outcome.of(each.ok), each.value, each.limit, each.reason) for each in record.objectives
    ]


@pytest.mark.parametrize(
    "path",
    [
        f"/runs/{RUN}/requests.parquet",
        f"/runs/{RUN}/journal",
        f"/runs/..%2F{RUN}/run.json",
        "/runs/../run.json",
        "/runs/%2e%2e/run.json",
        "/runs/nothing/run.json",
        "/etc/passwd",
        f"/runs/{RUN}%00/run.json",
    ],
)
def test_nothing_but_the_files_of_closed_runs_is_served(tmp_path: Path, path: str):
    results = tmp_path / "results"
    MadeRun(run=RUN).close(results)
    (tmp_path / "run.json").write_text("{}")
    with served(results) as (_, client):
        assert client.get(path).status_code == 404


@pytest.mark.attack("a file that the live page links to is flipped or cut", "the page says so instead of serving it")
@pytest.mark.parametrize("harm", ["flipped", "cut"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_not_served(tmp_path: Path, name: str, harm: str):
    folder = MadeRun(run=RUN, failure_share=0.2).close(tmp_path)
    path = write_report(folder).with_name(name)
    with served(tmp_path) as (_, client):
        assert client.get(f"/runs/{RUN}/{name}").content == path.read_bytes()
        if harm == "flipped":
            flip(path, path.stat().st_size // 2)
        else:
            path.write_bytes(path.read_bytes()[:-1])
        answer = client.get(f"/runs/{RUN}/{name}")
        assert answer.status_code == 500
        assert name in answer.text
        assert f"loadstone {'report' if name == 'report.html' else 'recover'} {RUN}" in answer.text


def test_before_the_first_run_the_page_is_told_to_wait(tmp_path: Path):
    with served(tmp_path) as (_, client), client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)][2] == "event: waiting"


def test_waiting_for_a_run_is_silent_until_there_is_one():
    board = LiveBoard()
    assert board.message(("", 0), None) is None
    show(board, state_after())
    assert board.message(("", 0), None) is not None
    assert board.message(("", 0), board.head()) is None


def test_the_page_itself_holds_no_name_of_a_run(tmp_path: Path):
    with served(tmp_path) as (board, client):
        show(board, state_after(names=[("GET", HOSTILE)]))
        page = client.get("/")
    assert HOSTILE not in page.text
    assert RUN not in page.text
    assert "connect-src 'self'" in page.text


def test_objectives_show_how_they_stand_now(tmp_path: Path):
    with served(tmp_path) as (board, client):
        show(board, state_after(objectives=["p95<1ms", "failures<=50%", "nonsense"]))
        rows = client.get("/state").json()["tables"]["objectives"]
    assert [(row[0], row[1]) for row in rows] == [("p95<1ms", "missed"), ("failures<=50%", "held")]


def test_an_objective_of_usage_is_not_said_to_lack_the_usage_that_is_shown():
    live = snapshot(RUN, state_after(objectives=["cpu(target)<90%", "p95<1s"]), now_ns=START + 20 * SECOND)
    assert [usage.service for usage in live.usage] == ["target"]
    usage, latency = live.objectives
    assert (usage.ok, usage.value, usage.unit, usage.reason) == (None, None, "%", "judged at the end of the run")
    assert latency.ok


def test_exceptions_of_tasks_miss_their_objective_while_they_are_new():
    state = state_after(objectives=["exceptions==0", "exceptions<=2"])
    for second in (9, 12):
        payload = ExceptionRaised(message="no", traceback="", count=2 if second > 10 else 5, worker=0)
        state.lifecycle.apply(
            Event(run=RUN, source="worker", seq=second, at_ns=START + second * SECOND, payload=payload)
        )
    found = snapshot(RUN, state, now_ns=START + 20 * SECOND).objectives
    assert [(each.value, each.ok) for each in found] == [(7.0, False), (7.0, False)]


def test_an_older_run_does_not_replace_the_newest(tmp_path: Path):
    with served(tmp_path) as (board, client):
        show(board, state_after())
        show(board, state_after(), run="20250101-000000-old", now_ns=START)
        assert client.get("/state").json()["run"] == RUN


def test_a_port_that_is_taken_costs_the_page_and_nothing_else(tmp_path: Path, caplog):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serving("127.0.0.1", taken.getsockname()[1], tmp_path) as board,
    ):
        assert board is None
    assert "live_page=no" in caplog.text
