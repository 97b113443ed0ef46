"""`loadstone capacity` as a person types it: the answer is right, and a study survives `kill -9`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.loadstone_run import CALM, SCENARIOS
from support.processes import free_port
from support.study_runs import killed_and_resumed, study_of, trials_of

if TYPE_CHECKING:
    from support.counting_server import CountingServer

HELD = 30
QUICK = ("--measure", "2s", "--warmup", "0s", "-r", "100", "--workers", "1")
QUESTION = ("--find", "users", "--objective", "failures<=20%", *CALM, "-u", "20", *QUICK)


LIMITS = ("--cpu", "0.5..2", "--memory", "512m", "--replicas", "1..2", "-u", "30")
SET_LIMITS = Path(__file__).with_name("set_limits.py")


def set_limits(server: CountingServer, log: Path, *words: str) -> str:
    """The command that gives a counting server its limits."""
    return shlex.join([sys.executable, str(SET_LIMITS), server.url, str(log), *words])


@pytest.mark.timeout(400)
def test_the_most_users_are_found_and_a_killed_study_goes_on_where_it_was(new_run, counting_server):
    run = new_run("crowded", "--host", counting_server.url, *QUESTION, verb="capacity").start()
    _, resumed = killed_and_resumed(run, new_run)
    study = study_of(run)
    trials = study["trials"]
    answer = study["answer"]
    assert (answer["holds"], answer["not_held"], answer["proved"]) == (HELD, HELD + 1, True)
    assert {trial["users"]: trial["outcome"] for trial in trials if trial["outcome"] != "invalid"}[HELD] == "holds"
    assert f"The target holds {HELD} users (at most 20 % failures" in resumed.output
    runs = {path.name for path in run.results.iterdir() if path.name != "studies"}
    assert {trial["run"] for trial in trials} <= runs
    assert all(trial["run"] in resumed.output for trial in trials)


@pytest.mark.timeout(400)
def test_the_cheapest_limits_are_found_and_a_killed_study_goes_on_and_puts_back_what_was_there(
    new_run, counting_server, tmp_path
):
    log = tmp_path / "limits.log"
    ways = ("--apply", set_limits(counting_server, log), "--restore", set_limits(counting_server, log, "restore"))
    question = ("--objective", "failures<=20%", *CALM, *LIMITS, *QUICK, *ways)
    run = new_run("limited", "--host", counting_server.url, *question, verb="capacity").start()
    run.wait_for(lambda: len(trials_of(run)) >= 3 or None, timeout_s=120)
    run.kill_everything()
    before = study_of(run)
    assert before["answer"] is None
    assert "restore" not in log.read_text()
    resumed = new_run(None, "--resume", "latest", verb="capacity")
    resumed.folder = run.folder
    assert resumed.start().finish(400) == 0, resumed.output
    study = study_of(run)
    assert study["trials"][: len(before["trials"])] == before["trials"]
    answer, held = study["answer"], {"cpu_cores": 1.5, "mem_bytes": 512 * 1024**2, "replicas": 1}
    assert (answer["setting"], answer["proved"], answer["smaller_fails"]) == (held, True, True)
    assert [(each["setting"]["cpu_cores"], each["finding"]) for each in answer["smaller"]] == [(1.0, "fails")]
    told = log.read_text().splitlines()
    assert told[0] == f"2 {512 * 1024**2} 2"
    assert told.count("restore") == 2, "when it goes on, and at its end"
    assert told[-1] == "restore"
    assert study["before"] is None
    assert all(trial["read_back"] for trial in study["trials"])


def test_a_command_that_lies_about_limits_ends_the_study(new_run, counting_server, tmp_path):
    log = tmp_path / "limits.log"
    ways = (
        "--apply",
        set_limits(counting_server, log, "lie"),
        "--restore",
        set_limits(counting_server, log, "restore"),
    )
    question = ("--objective", "failures<=20%", *CALM, *LIMITS, *QUICK, *ways)
    run = new_run("limited", "--host", counting_server.url, *question, verb="capacity")
    assert run.run() == 2, run.output
    assert "2 CPU" in run.output
    assert "1 CPU" in run.output
    assert log.read_text().splitlines()[-1] == "restore"
    assert study_of(run)["trials"] == []


def test_a_plan_starts_nothing(new_run):
    question = ("--objective", "p95<500ms", "--apply", "false", "--cpu", "0.25..3", "--memory", "256m..6g")
    scenario = ("-f", str(SCENARIOS / "limited.py"), "--host", "http://127.0.0.1:9")
    run = new_run(None, *scenario, *question, "--replicas", "1..4", verb="capacity plan")
    assert run.run() == 0, run.output
    assert "settings: 1,152, of which only some are tried" in run.output
    assert "first trial: 3 CPU and 6g x 4 replicas" in run.output
    assert "trials: " in run.output
    assert not run.results.exists()


def test_a_target_that_refuses_quickly_holds_nobody_though_no_objective_is_on_failures(new_run, counting_server):
    only = ("--find", "users", *CALM, "--at-least", "40", "--at-most", "40", *QUICK)
    run = new_run("crowded", "--host", counting_server.url, *only, verb="capacity")
    assert run.start().finish(100) == 1, run.output
    assert study_of(run)["objectives"] == ["p99<60s", "failures<=1%"]
    assert "The target does not hold even 40 users" in " ".join(run.output.split())


def test_the_trials_of_a_study_and_its_answer_are_in_influxdb_at_its_end(new_run, counting_server, faulty_influx):
    question = ("--find", "users", "--objective", "failures<=20%", *CALM, "--at-least", "20", "--at-most", "20", *QUICK)
    run = new_run(
        "crowded", "--host", counting_server.url, *question, "--influx-url", faulty_influx.url, verb="capacity"
    )
    assert run.start().finish(200) == 0, run.output
    study = study_of(run)
    points = {key: fields for key, fields in faulty_influx.points.items() if key.measurement.startswith("capacity_")}
    told = {fields["number"]: dict(key.tags)["run"] for key, fields in points.items() if "number" in fields}
    assert told == {number: trial["run"] for number, trial in enumerate(study["trials"], 1)}
    (answer,) = (fields["answer"] for key, fields in points.items() if key.measurement == "capacity_study")
    assert answer in " ".join(run.output.split())
    assert "InfluxDB did not take" not in run.output


@pytest.mark.attack("InfluxDB away", "a study goes on, and says once what is missing and what writes it later")
def test_an_influxdb_that_is_away_ends_no_study(new_run, counting_server):
    only = ("--find", "users", *CALM, "--at-least", "40", "--at-most", "40", *QUICK)
    away = ("--influx-url", f"http://127.0.0.1:{free_port()}", "--influx-drain", "1s")
    run = new_run("crowded", "--host", counting_server.url, *only, *away, verb="capacity")
    assert run.start().finish(200) == 1, run.output
    assert run.output.count("InfluxDB did not take the trials: ") == 1
    assert f"`loadstone influx study {study_of(run)['id']} --results" in run.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing says what to find. Add --find users"),
        (("--find", "users"), "a study needs an objective"),
        (("--find", "speed", "--objective", "p95<1s"), "--find"),
        (
            ("--find", "users", "--objective", "p95<1s", "--at-least", "9", "--at-most", "3"),
            "--at-least 9 is more than",
        ),
        (("--find", "users", "--objective", "p95<1s", "-t", "1m"), "--run-time cannot be used in a study"),
        (("--find", "users", "--objective", "p95<1s", "--stack"), "--locustfile cannot be used with --stack"),
        (("--find", "users", "--objective", "p59<"), "p59<"),
        (("--resume", "nothing"), "there is no study in"),
        (("--cpu", "3..1", "--memory", "1g", "--apply", "x", "--objective", "p95<1s"), "the smallest first"),
        (("--cpu", "1..2", "--apply", "x", "--objective", "p95<1s"), "--cpu is given without --memory. Add --memory"),
        (("--memory", "1g", "--apply", "x", "--objective", "p95<1s"), "--memory is given without --cpu. Add --cpu"),
        (("--find", "users", "--cpu", "1..2", "--objective", "p95<1s"), "so --cpu has no use"),
        (
            ("--cpu", "1", "--memory", "1g", "--apply", "x", "--compose-file", "y", "--objective", "p95<1s"),
            "--apply and --compose-file are two ways to give limits",
        ),
        (
            ("--cpu", "1..9", "--memory", "1g", "--apply", "x", "--objective", "p95<1s", "--trials", "3"),
            "3 trials cannot",
        ),
        (
            ("--cpu", "0.5", "--memory", "512m", "--rig", "cgroup", "--objective", "p95<1s"),
            "--rig cgroup limits the demo target only",
        ),
        (
            ("--find", "users", "--objective", "p95<1s", "--budget", "2m"),
            "2 min cannot decide this: it takes",
        ),
    ],
)
def test_wrong_use_starts_nothing_and_says_what_to_do(new_run, arguments, said):
    scenario = None if "--resume" in arguments else "crowded"
    run = new_run(scenario, "--host", "http://127.0.0.1:9", *arguments, verb="capacity")
    assert run.run() == 2, run.output
    assert said in run.output
    assert not list(run.results.glob("studies/*"))


def test_an_objective_on_usage_that_nobody_records_is_refused(new_run, counting_server):
    question = ("--find", "users", "--objective", "cpu(target)<90%")
    run = new_run("crowded", "--host", counting_server.url, *question, verb="capacity")
    assert run.run() == 2, run.output
    assert "the objective cpu(target)<90% needs CPU and memory of target, which nobody records" in run.output
    assert not list(run.results.glob("studies/*"))


def test_a_load_shape_cannot_be_in_a_study(new_run, counting_server):
    question = ("--find", "users", "--objective", "p95<1s")
    run = new_run("shaped", "--host", counting_server.url, *question, verb="capacity")
    assert run.run() == 2, run.output
    assert "decides how many users run" in run.output
