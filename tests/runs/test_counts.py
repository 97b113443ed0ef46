"""The promise: what the server received, what Locust counted and what the archive holds are one number."""

from __future__ import annotations

import csv
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

FAILING = {"/fragile": 0.3}
ROUNDING = 0.004
"""Relative error of a histogram's percentile."""


def aggregated(run) -> dict[str, str]:
    with (run.run_folder() / "stats.csv").open(newline="") as file:
        return next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")


def assert_all_counts_are(run, requests: int, failures: int) -> None:
    found = run.run_json()
    totals = {
        "rows": run.rows(),
        "stored": found["ledgers"]["archive"]["stored"],
        "run.json": found["requests"],
        "stats.csv": int(aggregated(run)["Request Count"]),
        "locust": found["locust"]["requests"],
    }
    assert totals == dict.fromkeys(totals, requests)
    assert (found["failures"], int(aggregated(run)["Failure Count"]), found["locust"]["failures"]) == (failures,) * 3
    ledger = found["ledgers"]["archive"]
    assert (ledger["produced"], ledger["dropped"], ledger["unknown"]) == (requests, 0, 0)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_count_is_equal_with_failures_among_the_requests(new_run, counting_server, workers):
    counting_server.configure(failures=FAILING)
    run = new_run("mixed", "--host", counting_server.url, "-u", "16", "-r", "50", "-t", "5s", "--workers", str(workers))
    run.run()
    count = counting_server.count()
    assert count.total > 500
    assert count.statuses[500] > 10
    assert_all_counts_are(run, count.total, count.statuses[500])
    assert run.run_json()["workers"] == workers
    assert not run.left_behind()


def test_a_worker_that_joins_late_from_elsewhere_is_counted_too(new_run, counting_server, valkey):
    counting_server.configure(failures=FAILING)
    run = new_run(
        "mixed",
        *("--host", counting_server.url, "-u", "20", "-r", "50", "-t", "14s", "--workers", "1"),
        *("--redis-url", valkey.url),
    ).start()
    master = run.part("locust", "--master ")
    port = master.cmdline()[master.cmdline().index("--master-bind-port") + 1]
    run.wait_for(lambda: counting_server.count().total > 50 or None)
    late = new_run(
        "mixed", "--master", "127.0.0.1", "--master-port", port, "--redis-url", valkey.url, verb="worker"
    ).start()
    run.finish()
    late.finish()
    count = counting_server.count()
    assert_all_counts_are(run, count.total, count.statuses[500])
    boots = run.run_json()["boots"]
    assert len(boots) == 2
    assert all(boot["final"] and boot["produced"] > 0 for boot in boots)
    assert any(event["kind"] == "worker_joined" for event in run.events())


def test_statistics_of_the_archive_are_those_of_its_raw_rows(new_run, counting_server):
    counting_server.configure(failures=FAILING, latency_ms=3)
    run = new_run("mixed", "--host", counting_server.url, "-u", "10", "-r", "50", "-t", "5s")
    run.run()
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pydict()
    durations = np.array(table["rt_us"]) / 1000
    with (run.run_folder() / "stats.csv").open(newline="") as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    for (method, name), row in rows.items():
        mine = [
            name == "Aggregated" or (m, n) == (method, name)
            for m, n in zip(table["method"], table["name"], strict=True)
        ]
        wanted = durations[mine]
        assert float(row["Average Response Time"]) == pytest.approx(wanted.mean(), rel=1e-6)
        assert int(row["Failure Count"]) == sum(not ok for ok, m in zip(table["ok"], mine, strict=True) if m)
        for column, percent in (("50%", 50), ("95%", 95), ("99%", 99)):
            exact = np.percentile(wanted, percent, method="inverted_cdf")
            assert float(row[column]) == pytest.approx(exact, rel=ROUNDING, abs=0.51), (name, column)


def test_requests_in_flight_at_the_end_may_finish(new_run, counting_server):
    run = new_run("slow", "--host", counting_server.url, "-u", "10", "-r", "100", "-t", "3500ms")
    run.run()
    found = run.run_json()
    assert found["aborted"] == 0
    assert found["requests"] == counting_server.count().total


def test_requests_cut_off_at_the_end_are_counted_as_aborted(new_run, counting_server):
    run = new_run("slow", "--host", counting_server.url, "-u", "10", "-r", "100", "-t", "3500ms", "--stop-timeout", "0")
    run.run()
    found, received = run.run_json(), counting_server.count().total
    assert found["requests"] == run.rows() == found["locust"]["requests"]
    # a user that is killed while it sends may have its request received or not
    assert found["requests"] < received <= found["requests"] + found["aborted"]
    assert found["aborted"] <= found["users"]


def test_a_run_without_a_request_is_archived_and_inconclusive(new_run, counting_server):
    run = new_run("idle", "--host", counting_server.url, "-u", "2", "-r", "10", "-t", "2s")
    assert run.run() == 3
    found = run.run_json()
    assert (found["requests"], found["verdict"]) == (0, "inconclusive")
    assert any("no request" in reason for reason in found["reasons"])
    assert counting_server.count().total == 0


def test_two_runs_one_after_the_other_get_a_folder_each(new_run, counting_server):
    first = new_run("mixed", "--host", counting_server.url, "-u", "2", "-r", "10", "-t", "2s")
    first.run()
    time.sleep(1)
    before = (first.run_folder() / "run.json").read_bytes()
    again = new_run("mixed", "--host", counting_server.url, "-u", "2", "-r", "10", "-t", "2s")
    again.folder = first.folder
    again.run()
    folders = sorted(path for path in first.results.iterdir() if path.is_dir())
    assert len(folders) == 2
    assert (folders[0] / "run.json").read_bytes() == before
