"""What the live page shows: its request rates are those of the run, also while it is being closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.run_state import RunState
from loadstone.charts.folding import folded_tables
from loadstone.charts.live_data import LivePoints, live_head
from loadstone.charts.page_data import WorkerRow
from loadstone.collector.live.snapshot import snapshot
from loadstone.domain.live import LiveObjective, Trouble
from support.closed_runs import MadeRun
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, write_journal

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.journal.frame import Entry
    from loadstone.charts.page_data import LiveHead

STOP_AND_FINAL = 4
"""The last entries of a made run: its final batch, a stage, stopping and stopped."""


def head(entries: list[Entry], at_s: float, *, closing: bool = False, closed: bool = False) -> LiveHead:
    state = RunState()
    for entry in entries:
        state.apply(entry)
    live = snapshot("r", state, now_ns=START + round(at_s * SECOND), closing=closing)
    live = msgspec.structs.replace(live, closed=closed)
    return live_head(live, state, begin=START // SECOND)


def rates(shown: LiveHead) -> list[float]:
    return [row.rps for row in shown.tables.names]


def test_the_rates_of_a_run_that_has_stopped_no_longer_change_and_are_those_of_its_record(tmp_path: Path):
    entries = MadeRun(run="r").entries()
    folder = RunFolder(tmp_path / "r").create()
    write_journal(folder.journal, entries)
    figures = close_run(folder, now_ns=None).record.summary.run
    expected = [figures.total.rps, *(each.rps for each in figures.names)]
    for shown in (head(entries, 20), head(entries, 80, closing=True), head(entries, 90, closed=True)):
        assert rates(shown) == pytest.approx(expected)


@pytest.mark.parametrize("state", ["closing", "closed"])
def test_the_rates_of_a_run_whose_master_was_lost_are_measured_to_its_last_request(state: str):
    entries = MadeRun(run="r").entries()[:-STOP_AND_FINAL]
    assert rates(head(entries, 60, **{state: True})) == pytest.approx(rates(head(entries, 20)), rel=0.05)


def test_the_rates_of_a_run_in_progress_are_measured_to_now():
    entries = MadeRun(run="r").entries()[:-STOP_AND_FINAL]
    assert rates(head(entries, 40)) == pytest.approx([rate / 2 for rate in rates(head(entries, 20))])


def test_a_live_page_says_of_what_its_figures_are_and_for_how_long_nobody_was_answered():
    entries = MadeRun(run="r").entries()[:-STOP_AND_FINAL]
    busy, silent = head(entries, 20.5).notes, head(entries, 27).notes
    assert busy[0] == "Rate, failures and latencies are of the last ten full seconds, requests of the whole run"
    assert busy[1].startswith("Closed model: ")
    assert busy[2:] == []
    assert silent[2:] == ["Nobody has been answered for 7 s, with 5 users running"]


def test_a_live_page_of_the_open_model_shows_both_times_and_what_became_of_the_arrivals():
    entries = MadeRun(run="r", late_ms=2.5, not_sent=3, sigma=0, objectives=["p95<1ms"]).entries()[:-STOP_AND_FINAL]
    shown = head(entries, 20.5)
    tiles = {tile.title: (tile.value, tile.of) for tile in shown.tiles}
    assert (tiles["p95 ms"][0], tiles["service p95 ms"][0]) == pytest.approx((22.5, 20), rel=1e-3)
    assert tiles["arrivals not sent"] == (3, "803")
    assert tiles["arrivals/s"] == (pytest.approx(40), "40.0")
    assert tiles["lateness p99 ms"] == (pytest.approx(2.5, rel=1e-3), None)
    assert shown.notes[1].startswith("Open model: ")
    assert [row.label for row in shown.tables.names[:2]] == ["all requests", "all requests, service times"]
    assert [row.max_ms for row in shown.tables.names[:2]] == pytest.approx([22.5, 20], rel=1e-3)
    assert [row.service_p95_ms for row in shown.tables.names] == pytest.approx([20] * 4, rel=1e-3)
    assert shown.tables.objectives[0].reason == "response time p95 is 22.5 ms, must be < 1 ms"


def test_the_names_of_a_closed_model_have_no_service_times():
    shown = head(MadeRun(run="r").entries(), 20.5)
    assert {row.service_p95_ms for row in shown.tables.names} == {None}


def test_the_points_of_the_open_model_draw_both_times():
    latencies = []
    for late_ms in (2.5, None):
        state, points = RunState(), LivePoints()
        for entry in MadeRun(run="r", late_ms=late_ms, sigma=0).entries():
            state.apply(entry)
        points.update(state)
        latencies.append(points.since(0)[10][1]["latency"])
    both, alone = latencies
    assert (both["p95"], both["service p95"]) == pytest.approx((22.5, 20), rel=1e-3)
    assert "service p95" not in alone


def test_what_is_in_trouble_stands_on_the_page_with_its_age():
    state = RunState()
    live = snapshot("r", state, now_ns=START + 27 * SECOND)
    troubles = (
        Trouble(part="archive", text="No space left. Free some.", since_ns=START + 2 * SECOND),
        Trouble(part="InfluxDB", text="401", since_ns=START + 26 * SECOND),
    )
    shown = live_head(msgspec.structs.replace(live, troubles=troubles), state, begin=START // SECOND)
    assert shown.troubles == ["archive: No space left. Free some (for 20 s)", "InfluxDB: 401 (just now)"]


def failed_pct(shown: LiveHead) -> float | None:
    return {tile.title: tile.value for tile in shown.tiles}["failed"]


def test_while_nobody_is_answered_nobody_knows_a_share_of_failures():
    made, incarnation = RunMaker(run="r").started(), IncarnationMaker(run="r")
    made.add(incarnation.batch([Sample(0.5), Sample(1.5)], at_s=2))
    assert failed_pct(head(made.entries, 2.5)) == 0
    for second in range(3, 30):
        made.add(incarnation.batch(at_s=second))
    assert failed_pct(head(made.entries, 29.5)) is None


def test_every_tile_of_a_live_page_says_of_what_it_is():
    shown = head(MadeRun(run="r").entries()[:-STOP_AND_FINAL], 20.5)
    scopes = {tile.title: tile.scope for tile in shown.tiles}
    assert scopes["requests"] == "whole run"
    assert scopes["users"] == scopes["workers"] == "now"
    assert {scopes[title] for title in ("requests/s", "failed", "p50 ms", "p95 ms", "p99 ms")} == {"last 10 s"}


def test_an_objective_on_a_live_page_has_its_limit_and_margin():
    entries = MadeRun(run="r", objectives=["p95<100ms", "rps>=50", "cpu(target)<90%"]).entries()[:-STOP_AND_FINAL]
    latency, rate, usage = head(entries, 20.5).tables.objectives
    assert latency.value is not None
    assert (latency.limit, latency.margin_pct) == (100, pytest.approx(100 - latency.value))
    assert (rate.limit, rate.margin_pct) == (50, pytest.approx(-20, abs=1))
    assert (usage.limit, usage.value, usage.margin_pct) == (90, None, None)


def test_a_live_point_has_the_mean_of_its_second():
    state, points = RunState(), LivePoints()
    for entry in MadeRun(run="r").entries():
        state.apply(entry)
    points.update(state)
    second = START // SECOND + 10
    rollups = state.open_seconds[second].values()
    expected = sum(each.rt_sum_us for each in rollups) / sum(each.n for each in rollups) / 1000
    assert points.since(0)[10][1]["latency"]["mean"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "folded"),
    [
        ({}, True),
        ({"state": "running"}, True),
        ({"state": "lost"}, False),
        ({"state": "no longer heard from"}, False),
        ({"dropped": 1}, False),
        ({"unknown": 7}, False),
        ({"cpu_pct": 96.0}, False),
        ({"host_busy_pct": 96.0}, False),
        ({"lag_p99_ms": 24.0}, True),
        ({"lag_p99_ms": 26.0}, False),
        ({"longest_stall_ms": 1000.0}, False),
    ],
    ids=str,
)
def test_workers_are_folded_while_all_is_well_with_them(change: dict[str, Any], folded: bool):
    well = WorkerRow("0", "ended", 50.0, 3.0, 120.0, 0.0, 0.1, 40.0, 0.0, 0.0, 10, 10, 0, 0)
    objectives = [LiveObjective(text="p95<500ms", value=None, unit="ms", ok=None, reason="")]
    shown = folded_tables([well, msgspec.structs.replace(well, **change)], objectives)
    assert shown == (["workers"] if folded else [])
