"""The promise: what the server received, what Locust counted and what the archive holds are one number."""

from __future__ import annotations

import csv
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest

from loadstone.archive.folder import RunFolder
from loadstone.archive.verify import verify_run
from loadstone.stream.keys import DEAD_LETTERS, run_secret
from loadstone.stream.rules import WORKER
from support.counting_server import CountingServer
from support.loadstone_run import SCENARIOS, LoadstoneRun

FAILING = {"/fragile": 0.3}
MAY_FAIL = ("--exit-code-on-error", "0")
"""Requests also fail in the ramp, where no objective judges."""
ROUNDING = 0.004
"""Relative error of a histogram's percentile, before it is rounded to whole milliseconds."""


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
    assert totals == dict.fromkeys(totals, requests), found["reasons"]
    assert (found["failures"], int(aggregated(run)["Failure Count"]), found["locust"]["failures"]) == (failures,) * 3
    ledger = found["ledgers"]["archive"]
    assert (ledger["produced"], ledger["dropped"], ledger["unknown"]) == (requests, 0, 0)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """One run with two workers, failures among its requests and an objective that holds; what the server received."""
    folder = tmp_path_factory.mktemp("two-workers")
    with CountingServer(folder / "server") as server:
        server.configure(failures=FAILING, latency_ms=3)
        load = ("--host", server.url, "-u", "16", "-r", "50", "-t", "4s", "--workers", "2", *MAY_FAIL)
        run = LoadstoneRun(
            folder / "run", ("-f", str(SCENARIOS / "mixed.py"), *load, "--objective", "p99<30s", "failures<80%")
        )
        run.start()
        run.wait_for(lambda: server.count().total > 100 or None)
        assert run.ports()
        code = run.finish()
        yield run, server.count(), code
        run.kill_leftovers()


def test_every_count_is_equal_with_failures_among_the_requests(two_workers):
    run, count, _ = two_workers
    assert count.total > 300
    assert count.statuses[500] > 10
    assert_all_counts_are(run, count.total, count.statuses[500])
    assert run.run_json()["workers"] == 2


def test_a_run_whose_objectives_hold_passes_and_leaves_nothing_behind(two_workers):
    run, _, code = two_workers
    found = run.run_json()
    assert found["objectives"][0]["ok"] is True
    assert (code, found["verdict"], found["reasons"]) == (0, "pass", [])
    assert not run.left_behind()


def test_every_file_that_a_run_leaves_is_whole_and_has_a_digest(two_workers):
    run, _, _ = two_workers
    folder = RunFolder(run.run_folder())
    check = verify_run(folder)
    assert (check.damaged, check.notes, check.has_digests) == ([], (), True)
    left = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert {each.name for each in check.files} == {name for name in left if not name.startswith("logs/")}


def test_statistics_of_the_archive_are_those_of_its_raw_rows(two_workers):
    run, _, _ = two_workers
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pydict()
    durations = np.array(table["rt_us"]) / 1000
    with (run.run_folder() / "stats.csv").open(newline="") as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4
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
            assert float(row[column]) == pytest.approx(exact, abs=ROUNDING * exact + 0.5), (name, column)


def test_a_second_run_gets_a_folder_of_its_own_and_may_ask_for_nothing(two_workers, new_run, counting_server):
    first, _, _ = two_workers
    before = (first.run_folder() / "run.json").read_bytes()
    again = new_run("idle", "--host", counting_server.url, "-u", "2", "-r", "10", "-t", "2s")
    again.folder = first.folder
    assert again.run() == 3, "without a request there is nothing to judge"
    new, old = sorted((path for path in first.results.iterdir() if path.is_dir()), reverse=True)
    assert (old / "run.json").read_bytes() == before
    found = again.document(new)
    assert (found["requests"], found["verdict"]) == (0, "inconclusive")
    assert any("no request" in reason for reason in found["reasons"])
    assert counting_server.count().total == 0
    new.rename(first.folder / "second")


def test_every_count_is_equal_with_eight_workers(new_run, counting_server):
    counting_server.configure(failures=FAILING)
    run = new_run("mixed", "--host", counting_server.url, "-u", "16", "-r", "50", "-t", "3s", "--workers", "8")
    run.run()
    count = counting_server.count()
    assert count.total > 100
    assert_all_counts_are(run, count.total, count.statuses[500])
    assert run.run_json()["workers"] == len(run.run_json()["boots"]) == 8


def test_one_worker_runs_several_scenarios_and_requests_in_flight_at_the_end_may_finish(new_run, counting_server):
    counting_server.configure(failures=FAILING)
    load = ("--host", counting_server.url, "-u", "10", "-r", "100", "-t", "2500ms", "--workers", "1")
    run = new_run("mixed", "-f", str(SCENARIOS / "slow.py"), *load)
    run.run()
    count = counting_server.count()
    assert {"GET /home", "GET /slow"} <= set(count.requests)
    assert_all_counts_are(run, count.total, count.statuses[500])
    assert (run.run_json()["aborted"], run.run_json()["workers"]) == (0, 1)


def test_a_worker_that_joins_late_from_elsewhere_is_counted_too(new_run, counting_server, valkey):
    counting_server.configure(failures=FAILING)
    run = new_run(
        "mixed",
        *("--host", counting_server.url, "-u", "20", "-r", "50", "-t", "90s", "--workers", "1"),
        *("--redis-url", valkey.url, "--stop-timeout", "2"),
    ).start()
    master = run.part("locust", "--master ")
    port = master.cmdline()[master.cmdline().index("--master-bind-port") + 1]
    run.wait_for(lambda: counting_server.count().total > 50 or None)
    client = valkey.client()
    client.execute_command("ACL", "SETUSER", "worker", "on", ">secret", *WORKER.split())
    sending = valkey.url.replace("redis://", "redis://worker:secret@")
    late = new_run(
        "mixed", "--master", "127.0.0.1", "--master-port", port, "--redis-url", sending, verb="worker"
    ).start()
    run.wait_for(lambda: (run.live(client) or {}).get("workers") == 2 or None)
    commands = [
        " ".join(process.cmdline()) for process in (run.part("--master "), run.part("--worker "), late.part("--worker"))
    ]
    seen = counting_server.count().total
    run.wait_for(lambda: counting_server.count().total > seen + 400 or None)
    run.send(signal.SIGINT)
    assert run.finish() == 130, run.output
    late.finish()
    count = counting_server.count()
    assert_all_counts_are(run, count.total, count.statuses[500])
    incarnations = run.run_json()["boots"]
    assert len(incarnations) == 2
    assert all(incarnation["final"] and incarnation["produced"] > 0 for incarnation in incarnations)
    assert any(event["kind"] == "worker_joined" for event in run.events())
    assert not client.exists(DEAD_LETTERS), "nothing of an ordinary run is refused"
    (key,) = client.keys(run_secret("*"))
    secret = client.get(key)
    written = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert len(written) > 5
    for text in (*written, *(shown.encode() for shown in (*commands, run.output, late.output))):
        assert secret not in text
        assert secret.hex().encode() not in text


def test_requests_cut_off_at_the_end_are_counted_as_aborted(new_run, counting_server):
    run = new_run("slow", "--host", counting_server.url, "-u", "10", "-r", "100", "-t", "2500ms", "--stop-timeout", "0")
    run.run()
    found, received = run.run_json(), counting_server.count().total
    assert found["requests"] == run.rows() == found["locust"]["requests"]
    # a user that is killed while it sends may have its request received or not
    assert found["requests"] < received <= found["requests"] + found["aborted"]
    assert found["aborted"] <= found["users"]
