"""`loadstone capacity --find users` as a person types it: the answer is right, and a study survives `kill -9`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.loadstone_run import CALM

if TYPE_CHECKING:
    from support.loadstone_run import LoadstoneRun

HELD = 30
QUICK = ("--measure", "2s", "--warmup", "0s", "-r", "100", "--workers", "1")
QUESTION = ("--find", "users", "--objective", "failures<=20%", *CALM, "-u", "20", *QUICK)


def study_of(run: LoadstoneRun) -> dict[str, Any]:
    (path,) = (run.results / "studies").glob("*/study.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def trials_of(run: LoadstoneRun) -> list[dict[str, Any]]:
    """Those of its study so far, which may not have begun."""
    return study_of(run)["trials"] if list(run.results.glob("studies/*/study.json")) else []


@pytest.mark.timeout(400)
def test_the_most_users_are_found_and_a_killed_study_goes_on_where_it_was(new_run, counting_server):
    run = new_run("crowded", "--host", counting_server.url, *QUESTION, verb="capacity").start()
    run.wait_for(lambda: len(trials_of(run)) >= 2 or None, timeout_s=120)
    run.kill_everything()
    before = study_of(run)
    assert before["answer"] is None
    resumed = new_run(None, "--resume", "latest", verb="capacity")
    resumed.folder = run.folder
    assert resumed.start().finish(400) == 0, resumed.output
    study = study_of(run)
    trials = study["trials"]
    assert trials[: len(before["trials"])] == before["trials"]
    answer = study["answer"]
    assert (answer["holds"], answer["not_held"], answer["proved"]) == (HELD, HELD + 1, True)
    assert {trial["users"]: trial["outcome"] for trial in trials if trial["outcome"] != "invalid"}[HELD] == "holds"
    assert f"The target holds {HELD} users with" in resumed.output
    runs = {path.name for path in run.results.iterdir() if path.name != "studies"}
    assert {trial["run"] for trial in trials} <= runs
    assert all(trial["run"] in resumed.output for trial in trials)


def test_a_target_that_refuses_quickly_holds_nobody_though_no_objective_is_on_failures(new_run, counting_server):
    only = ("--find", "users", *CALM, "--at-least", "40", "--at-most", "40", *QUICK)
    run = new_run("crowded", "--host", counting_server.url, *only, verb="capacity")
    assert run.start().finish(100) == 1, run.output
    assert study_of(run)["objectives"] == ["p99<60s", "failures<=1%"]
    assert "No number of users that was tried held" in run.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "it is not said what to find. Add --find users"),
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
    ],
)
def test_wrong_use_starts_nothing_and_says_what_to_do(new_run, arguments, said):
    scenario = None if "--resume" in arguments else "crowded"
    run = new_run(scenario, "--host", "http://127.0.0.1:9", *arguments, verb="capacity")
    assert run.run() == 2, run.output
    assert said in run.output
    assert not list(run.results.glob("studies/*"))


def test_a_load_shape_cannot_be_in_a_study(new_run, counting_server):
    question = ("--find", "users", "--objective", "p95<1s")
    run = new_run("shaped", "--host", counting_server.url, *question, verb="capacity")
    assert run.run() == 2, run.output
    assert "decides how many users run" in run.output
