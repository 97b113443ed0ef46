"""A run with a rate in a real InfluxDB: both times and the arrivals are those of the archive."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from support.archive_reader import rows
from support.counting_server import CountingServer
from support.influx_server import InfluxServer
from support.loadstone_run import SCENARIOS, LoadstoneRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NS = 1_000_000_000
PERCENTS = {"p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
PREFIXES = {"rt_us": ("rt_", ""), "service_us": ("service_", "service_")}
"""Column of the archive to how the names of sums and of percentiles begin in InfluxDB."""


class Stored(NamedTuple):
    """A run of which some arrivals were late, and some not sent, in both places."""

    influx: InfluxServer
    folder: Path
    document: dict[str, Any]
    requests: list[dict[str, Any]]


@pytest.fixture(scope="module")
def stored(influxd_binary: Path, nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    folder = tmp_path_factory.mktemp("open-model")
    influx = InfluxServer(influxd_binary, nginx_binary, folder / "influxdb")
    rate = ("--rate", "20/s..120/s over 6s", "--rate", "120/s over 5s", "--max-users", "4", "--workers", "2")
    with CountingServer(folder / "target", latency_ms=8) as target:
        load = ("-f", str(SCENARIOS / "arriving.py"), "--host", target.url, *rate, "-r", "20", "--plain")
        run = LoadstoneRun(folder / "run", (*load, "--influx-url", influx.start().url))
        try:
            run.run()
            ledger, found = run.run_json()["ledgers"]["influx"], rows(run.run_folder() / "requests.parquet")
            assert ledger == {"stored": len(found), "rejected": 0, "pending": 0}, run.output
            yield Stored(influx, run.run_folder(), run.run_json(), found)
        finally:
            run.kill_leftovers()
            influx.kill()


def test_every_request_has_both_times_and_its_lateness(stored: Stored):
    fields = '"rt_ms", "service_ms", "late_ms", "method", "name", "worker"'
    points = {(row["time"], row["worker"]): row for row in stored.influx.query(f'SELECT {fields} FROM "request"')}
    assert len(points) == len(stored.requests) > 200
    for each in stored.requests:
        point = points[each["end"], str(each["worker"])]
        assert (point["method"], point["name"]) == (each["method"], each["name"])
        for field, column in (("rt_ms", "rt_us"), ("service_ms", "service_us"), ("late_ms", "late_us")):
            value = each[column]
            assert point[field] == (None if value is None else pytest.approx(value / 1000)), (field, each)
        assert each["rt_us"] == each["service_us"] + (each["late_us"] or 0)
    assert {each["late_us"] is None for each in stored.requests} == {True, False}, "some are not the first ones"


def grouped(requests: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for each in requests:
        found[key(each)].append(each)
    return dict(found)


def assert_figures(point: dict[str, Any], requests: list[dict[str, Any]]) -> None:
    """Sums and extremes are exact, and percentiles those of numpy within 0.4 % and a microsecond."""
    assert point["n"] == len(requests)
    for column, (times, percentiles) in PREFIXES.items():
        values_ms = np.array([each[column] for each in requests]) / 1000
        exact = {f"{times}sum": values_ms.sum(), f"{times}min": values_ms.min(), f"{times}max": values_ms.max()}
        assert {name: point[name] for name in exact} == pytest.approx(exact, rel=1e-9)
        near = {
            f"{percentiles}{name}": np.percentile(values_ms, percent, method="inverted_cdf")
            for name, percent in PERCENTS.items()
        }
        assert {name: point[name] for name in near} == pytest.approx(near, rel=0.004, abs=0.001)


@pytest.mark.parametrize(("res", "seconds"), [("1s", 1), ("10s", 10), ("60s", 60)])
def test_rollups_of_every_resolution_have_the_figures_of_both_times(stored: Stored, res: str, seconds: int):
    width_ns = seconds * NS
    named = grouped(stored.requests, lambda each: (each["end"] // width_ns * width_ns, each["method"], each["name"]))
    points = stored.influx.query(f'SELECT * FROM "rollup" WHERE "res" = \'{res}\'')
    assert {(point["time"], point["method"], point["name"]) for point in points} == named.keys()
    for point in points:
        assert_figures(point, named[point["time"], point["method"], point["name"]])
    whole = grouped(stored.requests, lambda each: each["end"] // width_ns * width_ns)
    points = stored.influx.query(f'SELECT * FROM "rollup_all" WHERE "res" = \'{res}\' AND "n" > 0')
    assert {point["time"] for point in points} == whole.keys()
    for point in points:
        assert_figures(point, whole[point["time"]])


def test_rollups_of_a_second_are_those_of_the_archive(stored: Stored):
    points = {
        (point["time"], point["method"], point["name"]): point
        for point in stored.influx.query('SELECT * FROM "rollup" WHERE "res" = \'1s\'')
    }
    archived = rows(stored.folder / "rollups.parquet")
    assert len(archived) == len(points)
    for each in archived:
        point = points[each["second"] * 1_000_000, each["method"], each["name"]]
        for prefix in ("", "service_"):
            for percentile in ("p50", "p90", "p95", "p99", "p999"):
                archived_ms = each[f"{prefix}{percentile}_us"] / 1000
                assert point[f"{prefix}{percentile}"] == pytest.approx(archived_ms, rel=1e-9), (percentile, each)


def test_the_points_of_the_workers_come_to_the_arrivals_in_run_json(stored: Stored):
    arrivals = stored.document["summary"]["run"]["arrivals"]
    assert arrivals["not_sent"] > 0 < arrivals["sent"]
    last = ", ".join(f'last("arrivals_{what}") AS "{what}"' for what in ("planned", "sent", "not_sent"))
    found = stored.influx.query(f'SELECT {last} FROM "worker" GROUP BY "worker"')
    assert len(found) == 2
    for what in ("planned", "sent", "not_sent"):
        assert sum(row[what] for row in found) == arrivals[what]


def test_the_lateness_of_the_workers_points_is_that_of_their_first_requests(stored: Stored):
    points = stored.influx.query('SELECT "lateness_p99_ms", "lateness_max_ms", "worker" FROM "worker"')
    points = [point for point in points if point["lateness_max_ms"] is not None]
    late_us = [each["late_us"] for each in stored.requests if each["late_us"] is not None]
    latest_ms = stored.document["summary"]["run"]["arrivals"]["lateness_max_ms"]
    assert max(point["lateness_max_ms"] for point in points) == max(late_us) / 1000 == latest_ms
    for worker, of_worker in grouped(stored.requests, lambda each: str(each["worker"])).items():
        mine = [point for point in points if point["worker"] == worker]
        exact = {each["late_us"] / 1000 for each in of_worker if each["late_us"] is not None}
        assert {point["lateness_max_ms"] for point in mine} <= exact
        assert all(point["lateness_p99_ms"] <= point["lateness_max_ms"] for point in mine)


def test_the_summary_has_the_window_s_arrivals_and_service_times(stored: Stored):
    window = stored.document["summary"]["window"]
    (summary,) = stored.influx.query('SELECT * FROM "run_summary"')
    for what in ("planned", "sent", "not_sent"):
        assert summary[f"arrivals_{what}"] == window["arrivals"][what]
    for name in ("mean_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms"):
        assert summary[name] == pytest.approx(window["total"][name])
        assert summary[f"service_{name}"] == pytest.approx(window["total"]["service"][name])
    assert summary["lateness_p99_ms"] == pytest.approx(window["arrivals"]["lateness_p99_ms"])
