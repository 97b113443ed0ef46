"""`loadstone capacity` with a rate of arrivals: the most that a target holds, and the cheapest limits that hold it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM
from support.study_runs import killed_and_resumed, study_of

if TYPE_CHECKING:
    from support.counting_server import CountingServer

HELD = 25
"""Requests a second that the server holds; of more it refuses all, as gateways do that limit their callers."""
QUICK = ("--measure", "3s", "--warmup", "1s", "--workers", "1", "--seed", "7", "--arrivals", "constant")
OBJECTIVES = ("--objective", "failures<=20%", *CALM)
FIND = ("--find", "rate", *OBJECTIVES, *QUICK, "--max-users", "60")
SET_LIMITS = Path(__file__).with_name("set_limits.py")
NOWHERE = "http://127.0.0.1:9"
ON_P95 = ("--objective", "p95<1s")


@pytest.mark.timeout(500)
def test_the_most_arrivals_are_found_and_a_killed_study_goes_on_where_it_was(new_run, counting_server: CountingServer):
    counting_server.configure(most=HELD)
    bounds = ("--rate", "1200/m", "--at-least", "3600/h", "--at-most", "2000/s")
    run = new_run("hurried", "--host", counting_server.url, *FIND, *bounds, verb="capacity").start()
    before, resumed = killed_and_resumed(run, new_run)
    asked = {"find": "rate", "at_least": 1.0, "at_most": 2000.0, "first": 20.0, "spread": "constant", "max_users": 60}
    assert before["question"] == asked

    study = study_of(run)
    trials = study["trials"]
    answer = study["answer"]
    assert answer["proved"]
    assert answer["holds"] <= HELD < answer["not_held"] <= 1.05 * answer["holds"]
    assert {trial["users"] for trial in trials} == {None}
    for trial in trials:
        record = json.loads((run.results / trial["run"] / "run.json").read_text())
        assert record["rate"] == [f"{trial['rate']:g}/s"]
        assert record["arrivals_spread"] == "constant"
        assert record["users_peak"] == 60
        if trial["outcome"] == "holds":
            assert trial["rps"] == pytest.approx(trial["rate"], rel=0.1)
    said = " ".join(resumed.output.split())
    assert "users wait for arrivals, so the wait times" not in said, "this scenario has none"
    assert f"The target holds {answer['holds']:g} arrivals a second (at most 20 % failures" in said
    assert f"{answer['not_held']:g} arrivals a second were too many" in said

    shown = new_run(None, "latest", verb="capacity show")
    shown.folder = run.folder
    assert shown.run() == 0, shown.output
    text = " ".join(shown.output.split())
    assert f"The target holds {answer['holds']:g} arrivals a second" in text
    assert "arrivals/s" in text
    assert " users" not in text
    other = new_run(None, "--resume", "latest", "--at-most", "30/s", "--arrivals", "poisson", verb="capacity")
    other.folder = run.folder
    assert other.run() == 2, other.output
    assert "--at-most differs, which was 2000/s, and is 30/s" in " ".join(other.output.split())
    assert "--arrivals differs, which was constant, and is poisson" in " ".join(other.output.split())


@pytest.mark.timeout(500)
def test_the_cheapest_limits_that_hold_a_rate_are_found(new_run, counting_server: CountingServer, tmp_path: Path):
    command = shlex.join([sys.executable, str(SET_LIMITS), counting_server.url, str(tmp_path / "limits.log")])
    limits = ("--cpu", "1,1.5", "--memory", "512m", "--apply", command, "--rate", "28/s")  # 20 requests/s for a core
    run = new_run("hurried", "--host", counting_server.url, *limits, *OBJECTIVES, *QUICK, verb="capacity")
    assert run.start().finish(400) == 0, run.output
    study = study_of(run)
    assert (study["question"]["rate"], study["question"]["users"]) == (28.0, None)
    answer, held = study["answer"], {"cpu_cores": 1.5, "mem_bytes": 512 * 1024**2, "replicas": 1}
    assert (answer["setting"], answer["proved"], answer["smaller_fails"]) == (held, True, True)
    assert {(trial["users"], trial["rate"]) for trial in study["trials"]} == {(None, 28.0)}
    said = " ".join(run.output.split())
    assert "1 replica with 1.5 CPU and 512m of memory is enough for 28 arrivals a second" in said


def test_arrivals_that_are_not_sent_make_a_trial_invalid_and_never_one_that_does_not_hold(
    new_run, counting_server: CountingServer
):
    counting_server.configure(latency_ms=300)
    only = ("--find", "rate", "--at-least", "20/s", "--at-most", "20/s", "--max-users", "2", *CALM, *QUICK)
    run = new_run("arrives", "--host", counting_server.url, *only, verb="capacity")
    assert run.start().finish(200) == 3, run.output
    study = study_of(run)
    assert [trial["outcome"] for trial in study["trials"]] == ["invalid"] * 3
    assert all("--max-users" in " ".join(trial["reasons"]) for trial in study["trials"])
    said = " ".join(run.output.split())
    assert "The target was not proved to hold any rate of arrivals" in said
    assert "20 arrivals a second could not be measured: " in said


def test_the_plan_of_a_study_of_rates_speaks_of_arrivals(new_run):
    only = ("--find", "rate", "--rate", "60/m", "--at-most", "90000/h", *ON_P95, "--measure", "2s", "--warmup", "0s")
    run = new_run("arrives", "--host", NOWHERE, *only, verb="capacity plan")
    assert run.run() == 0, run.output
    assert run.output.splitlines()[:2] == [
        "to find: the most arrivals a second, from 1 to 25, with p95<1s and failures<=1%",
        "first trial: 1 arrival a second",
    ]
    assert "users" not in run.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--find", "rate", "-u", "9"), "--users 9 and --find rate are two models"),
        (("--find", "users", "--rate", "5/s"), "--find users and --rate are two models"),
        (("--find", "users", "--max-users", "5"), "--max-users belongs to a rate"),
        (("--find", "users", "--at-most", "5/s"), "--at-most is '5/s', it must be a whole number"),
        (("--find", "rate", "--at-most", "5"), "--at-most is '5', it must be one rate from 1/h to 1,000,000/s"),
        (("--find", "rate", "--rate", "5"), "--rate is '5', it must be one rate"),
        (("--find", "rate", "--rate", "0/s"), "--rate is '0/s', it must be one rate"),
        (("--find", "rate", "--rate", "9999999/s"), "--rate is '9999999/s', it must be one rate"),
        (("--find", "rate", "--rate", "5/s..9/s"), "--rate is '5/s..9/s', it must be one rate"),
        (("--find", "rate", "--rate", "5/s over 1m"), "--rate is '5/s over 1m', it must be one rate"),
        (("--find", "rate", "--rate", "5/s", "--over", "1m"), "--over cannot be used in a study"),
        (("--find", "rate", "--rate", "5/s", "--rate", "9/s"), "more than one --rate cannot be used in a study"),
        (("--find", "rate", "--at-least", "9/s", "--at-most", "180/m"), "--at-least 9/s is more than --at-most 3/s"),
        (("--find", "rate", "--rate", "9/s", "--at-most", "3/s"), "--rate 9/s, the first trial, is more than"),
        (("--find", "rate", "-t", "1m"), "--run-time cannot be used in a study"),
        (("--find", "rate", "--cpu", "1..2"), "--find rate leaves the target as it is, so --cpu has no use"),
        (("--find", "rate", "--stack"), "--locustfile cannot be used with --stack"),
        (
            ("--rate", "5/s", "-u", "9", "--cpu", "1", "--memory", "1g", "--apply", "x"),
            "--users 9 and --rate are two models",
        ),
        (
            ("--rate", "5/s..9/s", "--cpu", "1", "--memory", "1g", "--apply", "x"),
            "--rate is '5/s..9/s', it must be one rate",
        ),
        (("--rate", "5/s"), "nothing says what to find. Add --find users or --find rate"),
    ],
)
def test_wrong_use_starts_nothing_and_says_what_to_do(new_run, arguments, said):
    for verb in ("capacity", "capacity plan"):
        run = new_run("arrives", "--host", NOWHERE, *ON_P95, *arguments, verb=verb)
        assert run.run() == 2, run.output
        assert said in " ".join(run.output.split())
        assert not list(run.results.glob("studies/*"))


def test_a_load_shape_cannot_run_at_a_rate(new_run, counting_server: CountingServer):
    run = new_run("shaped", "--host", counting_server.url, "--find", "rate", *ON_P95, verb="capacity")
    assert run.run() == 2, run.output
    assert "the load shape" in run.output
    assert not list(run.results.glob("studies/*"))
