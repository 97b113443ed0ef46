"""The report: one safe file with the numbers of the archive."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from loadstone.charts.catalogue import TABLES
from loadstone.charts.page import live_page, write_report
from loadstone.cli.main import main
from loadstone.domain.cut import CutRequest
from support.closed_runs import HOSTILE, MadeRun, closed, names
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples

if TYPE_CHECKING:
    from pathlib import Path

BREAKOUT = "</script><img src=x onerror=alert(1)>"


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def column(title: str) -> int:
    """Where it stands in the table of names."""
    (names_table,) = (each for each in TABLES if each.id == "names")
    return [each.title for each in names_table.columns].index(title)


def max_ms(row: list[Any]) -> float:
    return float(row[column("max ms")])


def report(tmp_path: Path, **made: Any) -> tuple[Any, str, dict[str, Any]]:
    folder = MadeRun(**made).close(tmp_path)
    text = write_report(folder).read_text()
    return folder, text, data_of(text)


def test_every_second_is_that_of_the_archive(tmp_path: Path):
    folder, _, data = report(tmp_path)
    rows = [row for row in pq.read_table(folder.rollups).to_pylist() if row["name"] == "/predict"]
    charts = data["charts"]
    assert data["t"] == list(range(20))
    assert charts["names_rate"]["POST /predict"] == [row["n"] for row in rows]
    assert charts["names_p95"]["POST /predict"] == [row["p95_us"] / 1000 for row in rows]
    assert charts["rate"]["requests"] == [40.0] * 20


def test_bins_of_a_long_run_merge_histograms_instead_of_averaging(tmp_path: Path):
    folder, _, data = report(tmp_path, seconds=1300, rate=2, names=[("GET", "/")], usage=False)
    assert data["step_s"] == 5
    first = pq.read_table(folder.requests)["rt_us"].to_pylist()[:10]
    assert data["charts"]["latency"]["max"][0] == max(first) / 1000
    assert data["charts"]["latency"]["p50"][0] == pytest.approx(sorted(first)[4] / 1000, rel=0.004)


def test_the_last_bin_of_a_long_run_is_as_high_as_the_others(tmp_path: Path):
    _, _, data = report(tmp_path, seconds=1303, rate=2, names=[("GET", "/")], usage=False)
    assert len(data["t"]) == 261
    assert set(data["charts"]["rate"]["requests"]) == set(data["charts"]["names_rate"]["GET /"]) == {2.0}


def test_the_mean_of_a_second_is_that_of_its_requests(tmp_path: Path):
    folder, _, data = report(tmp_path)
    rows = pq.read_table(folder.rollups).to_pylist()
    first = [row for row in rows if row["second"] == rows[0]["second"]]
    expected = sum(row["rt_sum_us"] for row in first) / sum(row["n"] for row in first) / 1000
    assert data["charts"]["latency"]["mean"][0] == pytest.approx(expected)


FIGURES = {
    "requests": "requests",
    "failures": "failures",
    "failed": "failures_pct",
    "req/s": "rps",
    **{f"{name} ms": f"{name}_ms" for name in ("mean", "p50", "p90", "p95", "p99", "max")},
    "p99.9 ms": "p999_ms",
}
"""Titles of columns, and the figure of run.json that stands in each."""


@pytest.mark.parametrize(("table", "part"), [("window", "window"), ("names", "run")])
def test_tables_of_window_and_whole_run_show_the_figures_of_run_json(tmp_path: Path, table: str, part: str):
    folder, _, data = report(tmp_path, identity={"warmup_s": 5.0})
    summary = json.loads(folder.run_json.read_text())["summary"][part]
    figures = {"all requests": summary["total"]}
    figures |= {f"{each['method']} {each['name']}": each for each in summary["names"]}
    shown = {row[0]: {title: row[column(title)] for title in FIGURES} for row in data["tables"][table]}
    assert shown == {label: {title: of[key] for title, key in FIGURES.items()} for label, of in figures.items()}
    assert shown["all requests"]["requests"] > 0


def test_window_and_whole_run_differ_and_every_tile_says_of_which_it_is(tmp_path: Path):
    folder, _, data = report(tmp_path, identity={"warmup_s": 5.0})
    record = json.loads(folder.run_json.read_text())
    tiles = {tile["title"]: tile for tile in data["tiles"]}
    assert tiles["requests"]["value"] == record["summary"]["window"]["total"]["requests"]
    assert tiles["requests"]["value"] < data["tables"]["names"][0][1] == record["requests"]
    scopes = {tile["title"]: tile["scope"] for tile in data["tiles"]}
    assert scopes.pop("most users") == "whole run"
    assert set(scopes.values()) == {"window"}


def test_without_a_window_tiles_are_of_the_whole_run_and_there_is_no_table_of_the_window(tmp_path: Path):
    entries = [each for each in MadeRun().entries() if b"ramp_done" not in each.blob]
    data = data_of(write_report(closed(tmp_path / "r", entries, 20)).read_text())
    assert data["tables"]["window"] is None
    assert {tile["scope"] for tile in data["tiles"]} == {"whole run"}
    assert data["tiles"][0]["value"] == data["tables"]["names"][0][1] == 800


def test_an_objective_has_value_limit_margin_and_interval(tmp_path: Path):
    folder, _, data = report(tmp_path, seconds=60, objectives=["p95<100ms", "rps>=80", "failures<=0%", "failures<=5%"])
    values = [each["value"] for each in json.loads(folder.run_json.read_text())["objectives"]]
    latency, rate, none, failures = data["tables"]["objectives"]
    assert latency[:5] == ["p95<100ms", "held", values[0], 100.0, "ms"]
    assert latency[5] == pytest.approx(100 - values[0])
    low, high = map(float, latency[6].split(" to "))
    assert low < values[0] < high
    assert (rate[1], rate[5]) == ("missed", pytest.approx(-50))
    assert (none[1], none[5]) == ("missed", None)
    assert (failures[1], failures[5]) == ("held", pytest.approx(100 * (5 - values[3]) / 5))


def test_errors_over_time_count_every_failed_request_once(tmp_path: Path):
    folder, _, data = report(tmp_path, failure_share=0.2)
    errors = data["charts"]["errors"]
    assert list(errors) == ["HTTP 503"]
    assert errors["HTTP 503"] == data["charts"]["rate"]["failures"]
    assert sum(errors["HTTP 503"]) == json.loads(folder.run_json.read_text())["failures"] > 0


def test_a_run_without_failures_has_no_errors_over_time(tmp_path: Path):
    assert report(tmp_path, failure_share=0.0)[2]["charts"]["errors"] == {}


def test_the_slowest_requests_are_listed_with_when_they_began(tmp_path: Path):
    folder, _, data = report(tmp_path)
    rows = sorted(pq.read_table(folder.requests).to_pylist(), key=lambda row: -row["rt_us"])[:20]
    shown = data["tables"]["slowest"]
    assert [row[1] for row in shown] == [row["rt_us"] / 1000 for row in rows]
    assert shown[0][2] == pytest.approx(rows[0]["start"].timestamp() - START / 1e9, abs=0.01)
    assert shown[0][0] == f"{rows[0]['method']} {rows[0]['name']}"


@pytest.mark.parametrize(("count", "begins"), [(0, None), (1, "1 request was cut off"), (3, "3 requests were cut off")])
def test_the_slowest_requests_are_said_to_lack_those_that_were_cut_off(tmp_path: Path, count: int, begins: str | None):
    run, incarnation = RunMaker().started(stop_timeout_s=4.0), IncarnationMaker()
    cut = tuple(CutRequest("GET", "/", START + 3 * SECOND, 5_000_000) for _ in range(count))
    run.add(incarnation.batch(samples(100, 0, 4), at_s=8, aborted=count, cut=cut, final=True))
    data = data_of(write_report(closed(tmp_path / "r", run.stopped(4, requests=100).entries, 20)).read_text())
    remark = data["remarks"].get("slowest")
    assert remark.startswith(begins) if begins else remark is None


def test_the_heatmap_counts_every_request_once(tmp_path: Path):
    _, _, data = report(tmp_path)
    assert [sum(column[1::2]) for column in data["charts"]["heat"]["counts"]] == [40] * 20


def test_a_run_of_ten_minutes_with_200_names_stays_small_and_has_at_most_20_series_a_chart(tmp_path: Path):
    _, text, data = report(tmp_path, seconds=600, rate=200, names=names(200))
    assert len(text.encode()) < 1_000_000
    assert {len(series) for chart, series in data["charts"].items() if chart.startswith("names_")} == {20}
    assert "other names" in data["charts"]["names_rate"]
    total = [sum(values) for values in zip(*data["charts"]["names_rate"].values(), strict=True)]
    assert total == data["charts"]["rate"]["requests"]
    assert len(data["tables"]["names"]) == 201


def test_a_run_without_any_request_has_a_report(tmp_path: Path):
    _, _, data = report(tmp_path, rate=0, usage=False)
    assert data["tables"]["names"] == data["tables"]["errors"] == []
    assert data["state"]["verdict"] == "inconclusive"
    assert set(data["charts"]["latency"]["p95"]) == {None}


def test_the_configuration_lists_what_is_known_with_its_units(tmp_path: Path):
    identity = {"steady_state_s": 20.0, "stop_timeout_s": 5.0, "spawn_rate": 2.5, "tags": ["a", "b"]}
    identity["limits"] = {"cpus": 2, "memory": "512MiB", "of": {"gpu": 0}}
    _, _, data = report(tmp_path, identity=identity)
    rows = dict(data["identity"])
    assert (rows["steady state"], rows["stop timeout"], rows["spawn rate"]) == ("20 s", "5 s", "2.5 users/s")
    assert (rows["users"], rows["tags"], rows["scenario files"]) == ("5", "a, b", "scenario.py")
    assert (rows["started"], rows["limits"]) == ("2026-09-21 14:13:20 UTC", 'cpus: 2, memory: 512MiB, of: {"gpu":0}')
    assert "run time" not in rows, "unknown"


def test_errors_show_the_time_of_day_at_which_they_were_first_and_last_seen(tmp_path: Path):
    _, _, data = report(tmp_path, error="HTTP 503", failure_share=1.0, names=[("GET", "/")])
    assert data["tables"]["errors"] == [["GET /", "HTTP 503", 800, "14:13:20", "14:13:39"]]


def test_hostile_names_and_errors_cannot_leave_the_data(tmp_path: Path):
    _, text, data = report(tmp_path, names=[("GET", HOSTILE), ("GET", "<!--")], error=BREAKOUT, failure_share=0.5)
    assert text.count("</script>") == 7
    assert HOSTILE not in text
    assert BREAKOUT not in text
    assert data["tables"]["errors"][0][1] == BREAKOUT


@pytest.mark.parametrize("page", ["report", "live"])
def test_a_page_names_no_address_that_it_could_load_from(tmp_path: Path, page: str):
    text = report(tmp_path)[1] if page == "report" else live_page()
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']+""", text) == []
    assert "default-src 'none'" in text
    assert re.findall(r"@import|url\(", text) == []


def test_the_verdict_can_be_read_without_javascript(tmp_path: Path):
    _, text, _ = report(tmp_path, objectives=["p95<1ms"])
    said = text.split("<noscript>")[1].split("</noscript>")[0]
    assert "fail" in said
    assert "p95 is" in said


def test_the_report_is_made_again_with_a_baseline(tmp_path: Path, capsys):
    MadeRun(run="base", seconds=30).close(tmp_path)
    folder = MadeRun(run="mine", seconds=30, slower=2.0).close(tmp_path)
    assert main(["report", "mine", "--baseline", "base", "--results", str(tmp_path)]) == 0
    assert str(folder.report) in capsys.readouterr().out
    data = data_of(folder.report.read_text())
    assert data["baseline"] == "base"
    assert ["all requests", "p95", "yes"] in [[row[0], row[1], row[6]] for row in data["tables"]["baseline"]]


def test_a_baseline_that_is_not_comparable_is_refused(tmp_path: Path, capsys):
    MadeRun(run="base", users=9).close(tmp_path)
    MadeRun(run="mine").close(tmp_path)
    assert main(["report", "mine", "--baseline", "base", "--results", str(tmp_path)]) == 2
    assert "--allow-unlike" in capsys.readouterr().err


def test_a_report_of_the_open_model_shows_both_times_and_what_became_of_the_arrivals(tmp_path: Path):
    _, _, data = report(tmp_path, late_ms=2.5, not_sent=3, sigma=0)
    tiles = {tile["title"]: tile["value"] for tile in data["tiles"]}
    assert (tiles["p95 ms"], tiles["service p95 ms"], tiles["lateness p99 ms"]) == pytest.approx(
        (22.5, 20, 2.5), rel=1e-3
    )
    assert tiles["arrivals not sent"] == 3
    response, service = data["tables"]["names"][:2]
    assert (response[0], service[0]) == ("all requests", "all requests, service times")
    assert service[1:5] == response[1:5]
    assert (max_ms(response), max_ms(service)) == pytest.approx((22.5, 20), rel=1e-3)
    for row in data["tables"]["names"]:
        assert row[column("service p95 ms")] == pytest.approx(20, rel=1e-3), row[0]
    latency = data["charts"]["latency"]
    assert latency["p95"] == pytest.approx([22.5] * 20, rel=1e-3)
    assert latency["service p95"] == pytest.approx([20] * 20, rel=1e-3)
    assert data["notes"][1].startswith("arrivals in the window of 20 s: 803 planned, 800 sent, 3 not sent")
    assert data["notes"][2].startswith("Open model: ")


def test_a_report_of_the_closed_model_has_nothing_about_service_times(tmp_path: Path):
    _, _, data = report(tmp_path)
    assert "service" not in json.dumps([data["tiles"], data["tables"]["names"], data["charts"]["latency"]])
    assert {row[column("service p95 ms")] for row in data["tables"]["names"]} == {None}, "the page leaves it out"
    assert not {"rate", "arrivals"} & dict(data["identity"]).keys()


def test_a_report_of_the_open_model_says_at_which_rate_and_among_whom_iterations_arrived(tmp_path: Path):
    identity = {"rate": ["20/s..40/s over 5s", "40/s"], "arrivals": "poisson"}
    shared = {"number": 0, "begins_s": 0.0, "zero_ns": START, "workers": [0, 1]}
    _, _, data = report(tmp_path, late_ms=2.5, identity=identity, shared=shared)
    rows = dict(data["identity"])
    assert (rows["rate"], rows["arrivals"]) == ("20/s..40/s over 5s, then 40/s", "poisson")
    assert [0, "arrivals shared", "2 workers"] in data["tables"]["events"]


def test_a_report_says_that_its_tiles_are_of_the_window_and_its_table_of_the_whole_run(tmp_path: Path):
    _, _, data = report(tmp_path)
    assert data["notes"][0].startswith("Figures are of the window of 20 s; latencies of the window include")
    assert data["notes"][1].startswith("Closed model: ")
    assert "Requests, whole run" in {table["title"] for table in data["catalogue"]["tables"]}
