"""The open model from end to end: a rate of arrivals, whatever scenario, and workers that come and go."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from itertools import takewhile
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from loadstone.domain.arrival_rate import parse_stages
from loadstone.domain.arrivals import Epoch, Schedule, Spread
from support.loadstone_run import CALM, SCENARIOS
from support.processes import ServerProcess, free_port, port_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.loadstone_run import LoadstoneRun

NS = 1_000_000_000
STALLING = Path(__file__).with_name("stalling_server.py")
PERIOD_S, STALL_S = 8.0, 3.0
SOON = ("-r", "500", "--seed", "7", *CALM)


def events_of(run: LoadstoneRun, kind: str) -> list[dict[str, Any]]:
    lines = (run.run_folder() / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def begun_ns(run: LoadstoneRun) -> np.ndarray:
    """When iterations began, ascending: the starts of requests that have an intended start."""
    first = first_requests(run)
    return np.sort(first["start"].astype("int64").to_numpy())


def intended_ns(run: LoadstoneRun) -> np.ndarray:
    """When those should have begun that did, ascending."""
    first = first_requests(run)
    return np.sort((first["start"].astype("int64") - 1000 * first["late_us"].astype("int64")).to_numpy())


def first_requests(run: LoadstoneRun) -> Any:
    """The rows of those."""
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    return table[table["late_us"].notna()]


def due_ns(run: LoadstoneRun) -> np.ndarray:
    """When they should have begun, computed from what the run has recorded of its schedule."""
    found = run.run_json()
    schedule = Schedule(parse_stages(found["rate"]), Spread(found["arrivals_spread"]), found["seed"])
    shares = [event["data"] for event in events_of(run, "arrivals_shared")]
    end_s = (found["window"]["end_ns"] - shares[0]["zero_ns"]) / NS
    due_s: list[float] = []
    for share, following in zip(shares, [*shares[1:], {"begins_s": end_s}], strict=True):
        epoch = Epoch(share["number"], share["begins_s"], len(share["workers"]))
        for place in range(epoch.workers):
            until_s = min(following["begins_s"], end_s)
            due_s += takewhile(lambda each, until_s=until_s: each < until_s, schedule.arrivals(epoch, place))
    return np.sort(np.array(due_s) * NS + shares[0]["zero_ns"])


@pytest.fixture
def stalling_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that answers nobody for three seconds of eight, or for as many as a test wants."""
    port = free_port()
    command = [sys.executable, STALLING, str(port), str(PERIOD_S), str(getattr(request, "param", STALL_S))]
    server = ServerProcess(command, log=tmp_path / "stalling.log", ready=lambda: port_answers(port)).start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_percentiles_of_a_server_that_stalls_are_those_that_callers_feel(new_run, stalling_server: str):
    load = ("--rate", "100/s", "--max-users", "500", "-t", "16s", *SOON)
    run = new_run("arrives", "--host", stalling_server, *load)
    assert run.run() == 0, run.output
    figures = run.run_json()["summary"]["window"]["total"]
    felt_ms = felt_at(due_ns(run), begun_ns(run)[0])
    assert figures["p99_ms"] == pytest.approx(np.percentile(felt_ms, 99), rel=0.03)
    felt = {"p90_ms": np.percentile(felt_ms, 90), "p95_ms": np.percentile(felt_ms, 95), "mean_ms": felt_ms.mean()}
    for figure, least_ms in felt.items():
        # Who came last in a stall stands behind all the others when they are answered.
        assert 0.99 * least_ms < figures[figure] < 1.15 * least_ms
    assert figures["service"]["p99_ms"] == pytest.approx(figures["p99_ms"], rel=0.02), "the generator kept up"


def felt_at(at_ns: np.ndarray, first_ns: int, stall_s: float = STALL_S) -> np.ndarray:
    """How long callers of the stalling server wait who come at these moments; its first request came at another, ms."""
    left_s = PERIOD_S / 2 - (at_ns - first_ns) / NS % PERIOD_S
    return 1000 * np.where((left_s > 0) & (left_s <= stall_s), left_s, 0)


@pytest.mark.parametrize("stalling_server", [2.0], indirect=True)
def test_a_closed_run_says_what_its_percentiles_hide(new_run, stalling_server: str):
    """Ten users that ask ten times a second, if the server lets them, are callers of the rate above."""
    load = ("-u", "10", "-r", "100", "-t", "17s", *CALM)
    run = new_run("paced", "--host", stalling_server, *load)
    run.run()
    found, table = run.run_json(), pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    first_ns = table["start"].astype("int64").min()
    felt_ms = felt_at(np.linspace(found["window"]["start_ns"], found["window"]["end_ns"], 100_000), first_ns, 2.0)
    kept, measured = found["omission"], found["summary"]["window"]["total"]
    assert measured["p95_ms"] < 100, "four of 17 seconds in which nobody was answered are hidden"
    for percent in (95, 99):
        assert kept[f"p{percent}_ms"] == pytest.approx(np.percentile(felt_ms, percent), rel=0.1)
    assert kept["rate"] == pytest.approx(100, rel=0.05)
    assert 0.6 < kept["requests"] / (100 * 2.0 * 2) < 1.05, (
        "those that wait were sent, and edges of stalls are not told"
    )
    (notice,) = (each for each in found["notices"] if "kept their pace" in each)
    assert f"p95 would be {kept['p95_ms']:.4g} ms" in notice
    assert "kept their pace" in run.output


@pytest.mark.parametrize("spread", list(Spread))
def test_what_arrives_is_what_anybody_computes_from_the_record(new_run, counting_server, spread: Spread):
    run = new_run("arrives", "--host", counting_server.url, "--rate", "100/s", "-t", "6s", "--arrivals", spread, *SOON)
    assert run.run() == 0, run.output
    begun, due = begun_ns(run), due_ns(run)
    assert len(begun) == counting_server.count().total == run.run_json()["requests"]
    assert len(due) == pytest.approx(600, abs=2 if spread is Spread.CONSTANT else 4 * sqrt(600))
    arrivals = run.run_json()["summary"]["run"]["arrivals"]
    assert arrivals["planned"] == arrivals["sent"] + arrivals["not_sent"] + arrivals["cut_off"]
    assert arrivals["planned"] == pytest.approx(len(due), abs=3)
    assert abs(len(begun) - len(due)) <= 2 + 0.002 * len(due), "those at the very end may be on either side of it"
    late_ms = (begun[: len(due)] - due[: len(begun)]) / 1e6
    assert np.median(late_ms) < 2
    assert (late_ms > -0.1).all(), "nothing begins before it is due"


def test_every_kind_of_task_runs_once_for_each_arrival(new_run, counting_server):
    load = ("--rate", "100/s", "--max-users", "80", "-t", "8s", "--exit-code-on-error", "0")
    run = new_run("arriving", "--host", counting_server.url, *load, *SOON)
    run.run()
    counts = Counter(counting_server.count().requests)
    found = run.run_json()
    assert found["requests"] == counts.total()
    assert {f"GET /{each}" for each in ("first", "second", "inner", "leave", "follows", "again", "thought")} <= set(
        counts
    )
    assert counts["GET /last"] == 1, "StopUser ends the only user of its class"
    assert counts["GET /follows"] == counts["GET /fragile"]
    assert found["exceptions"] == counts["GET /broken"], "no assertion of the scenario has failed"
    sent = found["summary"]["run"]["arrivals"]["sent"]
    first_requests = len(begun_ns(run))
    assert first_requests == sent
    share = (counts["GET /first"] + counts["GET /second"]) / sent
    assert share == pytest.approx(2 / 10, abs=0.07), "classes are chosen by their weights"
    table = pq.read_table(run.run_folder() / "requests.parquet").to_pandas()
    followers = table[table["name"].isin(["/follows", "/thought", "/login", "/heir-begins"])]
    assert followers["late_us"].isna().all(), "only the first request of an iteration has an intended start"
    started = table[table["name"].isin(["/login", "/heir-begins"])]["end"].astype("int64")
    assert counts["GET /heir-begins"] > 1 < counts["GET /inherits"]
    assert started.max() < found["window"]["start_ns"], "the schedule begins when all users have started"


def test_arrivals_that_find_no_user_are_counted_and_not_sent_late(new_run, counting_server):
    counting_server.configure(latency_ms=200)
    load = ("--rate", "50/s", "--max-users", "2", "-t", "5s", "--arrivals", "constant")
    run = new_run("arrives", "--host", counting_server.url, *load, *SOON)
    assert run.run() == 3, run.output
    arrivals = run.run_json()["summary"]["window"]["arrivals"]
    assert arrivals["planned"] == pytest.approx(250, abs=2)
    assert arrivals["sent"] == pytest.approx(2 * 5 / 0.22, abs=8), "a user is free again when the next one is due"
    assert arrivals["planned"] == arrivals["sent"] + arrivals["not_sent"]
    assert "--max-users" in " ".join(run.output.split())


def test_the_rate_of_stages_is_followed_and_ends_the_run(new_run, counting_server):
    load = ("--rate", "20/s..100/s over 4s", "--rate", "100/s over 2s", "--arrivals", "constant")
    run = new_run("arrives", "--host", counting_server.url, *load, *SOON)
    assert run.run() == 0, run.output
    found = run.run_json()
    assert found["window"]["seconds"] == pytest.approx(6, abs=0.2)
    assert found["requests"] == pytest.approx(440, abs=12)
    assert found["rate"] == ["20/s..100/s over 4s", "100/s over 2s"]


def test_a_settings_file_holds_a_list_of_stages(new_run, counting_server, tmp_path: Path):
    settings = tmp_path / "loadstone.toml"
    settings.write_text('rate = ["0/s..80/s over 2s", "80/s over 3s"]\narrivals = "constant"\nmax_users = 100\n')
    run = new_run("arrives", "--host", counting_server.url, "--config", str(settings), *SOON)
    assert run.run() == 0, run.output
    found = run.run_json()
    assert found["rate"] == ["0/s..80/s over 2s", "80/s over 3s"]
    assert (found["users"], found["arrivals_spread"]) == (100, "constant")
    assert found["requests"] == pytest.approx(320, abs=10)


def test_a_worker_that_is_killed_changes_the_rate_for_two_seconds_at_most(new_run, counting_server):
    load = ("--rate", "200/s", "--arrivals", "constant", "-t", "14s", "--workers", "3")
    run = new_run("arrives", "--host", counting_server.url, *load, *SOON).start()
    run.wait_for(lambda: counting_server.count().total > 600 or None)
    run.part("--worker ").send_signal(signal.SIGKILL)
    run.finish()
    intended = intended_ns(run) - events_of(run, "arrivals_shared")[0]["data"]["zero_ns"]
    per_s = np.bincount(np.maximum(intended, 0) // (NS // 4))[:52] * 4
    disturbed = np.flatnonzero(np.abs(per_s - 200) > 20) / 4
    assert disturbed.size, "a third of the arrivals is missing until it is noticed"
    assert disturbed.max() - disturbed.min() < 2
    shares = [event["data"] for event in events_of(run, "arrivals_shared")]
    assert [len(share["workers"]) for share in shares] == [3, 2, 3], "another one took its place"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rate", "fast"), "rate 'fast' is not NUMBER/s, /m or /h"),
        (("--rate", "100/s..500/s"), "does not say in which time it changes"),
        (("--rate", "5/s", "--users", "20"), "--users 20 and --rate are two models"),
        (("--rate", "5/s", "--users", "50"), "--users 50 and --rate are two models"),
        (("--over", "5m"), "--over belongs to --rate"),
        (("--max-users", "5"), "--max-users belongs to --rate"),
        (("--rate", "5/s over 1m", "--rate", "9/s", "--over", "5m"), "--over belongs to one --rate"),
        (("--rate", "5/s", "--rate", "9/s over 1m"), "rate 5/s has no duration"),
        (("--rate", "5/s", "--arrivals", "uniform"), "must be one of poisson, constant"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(new_run, arguments: tuple[str, ...], said: str):
    run = new_run("arrives", "--host", "http://127.0.0.1:9", *arguments)
    assert run.run() == 2, run.output
    assert said in " ".join(run.output.split())
    assert not run.results.exists()


def test_a_task_set_that_waits_in_its_own_way_is_refused(new_run):
    run = new_run("own_waiting", "--host", "http://127.0.0.1:9", "--rate", "5/s")
    assert run.run() == 2, run.output
    assert "users of Visitor run their tasks in a way of their own" in " ".join(run.output.split())


def test_a_load_shape_and_a_rate_exclude_each_other(new_run):
    run = new_run("shaped", "--host", "http://127.0.0.1:9", "--rate", "5/s")
    assert run.run() == 2, run.output
    assert "decides how many users there are, and --rate" in " ".join(run.output.split())


def test_a_function_gives_the_rate_and_ends_the_run_and_anybody_computes_it_from_the_record(new_run, counting_server):
    run = new_run("surging", "--host", counting_server.url, "--max-users", "300", "--arrivals", "constant", *SOON)
    assert run.run() == 0, run.output
    found = run.run_json()
    assert found["rate"] == ["40/s over 2s", "120/s..80/s over 4s"]
    assert found["window"]["seconds"] == pytest.approx(6, abs=0.2)
    assert found["users"] == 300
    assert "two models" not in run.output
    begun, due = begun_ns(run), due_ns(run)
    assert len(begun) == counting_server.count().total == pytest.approx(480, abs=3)
    late_ms = (begun[: len(due)] - due[: len(begun)]) / 1e6
    assert np.median(late_ms) < 2
    assert (late_ms > -0.1).all(), "nothing begins before it is due"


@pytest.mark.parametrize(
    ("scenario", "arguments", "said"),
    [
        (
            "surging",
            ("--rate", "5/s"),
            "the arrival shape Surge decides how many iterations arrive, and so does --rate",
        ),
        ("surging", ("--users", "50"), "--users 50 and the arrival shape Surge are two models"),
        ("surging,shaped", (), "the load shape Stages decides how many users there are, and the arrival shape Surge"),
        ("surging,endless", ("-t", "10s"), "the scenario has 2 arrival shapes: Endless, Surge"),
        ("endless", (), "the arrival shape Endless never ends. Let rate() return None"),
        ("broken_rate", ("-t", "30s"), "the arrival shape Listed raises IndexError: tuple index out of range at 2 s"),
    ],
)
def test_an_arrival_shape_that_cannot_be_used_is_refused_before_anything_starts(
    new_run, scenario: str, arguments: tuple[str, ...], said: str
):
    first, *more = scenario.split(",")
    files = tuple(word for each in more for word in ("-f", str(SCENARIOS / f"{each}.py")))
    run = new_run(first, *files, "--host", "http://127.0.0.1:9", *arguments)
    assert run.run() == 2, run.output
    assert said in " ".join(run.output.split())
    assert not run.results.exists()


def test_an_arrival_shape_without_an_end_runs_for_the_run_time(new_run, counting_server):
    run = new_run("endless", "--host", counting_server.url, "-t", "3s", "--arrivals", "constant", *SOON)
    assert run.run() == 0, run.output
    found = run.run_json()
    assert found["rate"] == ["20/s..17/s over 3s"]
    assert found["requests"] == pytest.approx(55, abs=3)
