"""Load shapes, tags, arguments of the scenario, windows, objectives and their exit codes."""

from __future__ import annotations

import pytest


def test_a_load_shape_tags_and_an_argument_of_the_scenario_work(new_run, counting_server):
    run = new_run("shaped", "--host", counting_server.url, "--tags", "wanted", "--page", "/chosen")
    run.run()
    found = run.run_json()
    assert set(counting_server.count().requests) == {"GET /chosen"}
    assert found["requests"] == counting_server.count().total
    assert found["scenario"]["shape"] == "Stages"
    assert any(event["kind"] == "stage" and event["data"]["users"] == 6 for event in run.events())


@pytest.mark.parametrize(("objective", "code", "word"), [("p99<30s", 0, "pass"), ("mean<0.001ms", 1, "fail")])
def test_the_exit_code_says_whether_objectives_hold(new_run, counting_server, objective, code, word):
    run = new_run(
        "mixed", "--host", counting_server.url, "-u", "3", "-r", "10", "-t", "5s", "--objective", objective,
        *("--objective", "failures<=0%"),
    )  # fmt: skip
    exit_code = run.run()
    found = run.run_json()
    assert found["objectives"][0]["ok"] is (word == "pass")
    assert found["objectives"][1]["ok"] is True
    if found["verdict"] != "inconclusive":  # a machine too busy to measure says so, and that is right
        assert (exit_code, found["verdict"]) == (code, word)
    else:
        assert exit_code == 3
        assert found["reasons"]


def test_steady_state_counts_from_the_ramp_and_the_window_leaves_the_warm_up_out(new_run, counting_server):
    run = new_run(
        *("mixed", "--host", counting_server.url, "-u", "6", "-r", "2", "--steady-state", "4s", "--warmup", "2s")
    )
    run.run()
    window = run.run_json()["window"]
    assert window["seconds"] == pytest.approx(4, abs=1.5)
    ramp_done = next(event["at_ns"] for event in run.events() if event["kind"] == "ramp_done")
    begun = next(event["at_ns"] for event in run.events() if event["kind"] == "started")
    assert ramp_done - begun > 2e9, "six users at two a second"


def test_an_objective_on_the_targets_cpu_uses_what_was_sampled(new_run, counting_server):
    run = new_run(
        *("mixed", "--host", counting_server.url, "-u", "5", "-r", "10", "-t", "6s"),
        *("--target-pid", str(counting_server.pid), "--objective", "cpu(target)<64", "--objective", "mem(target)<8GiB"),
    )
    run.run()
    results = run.run_json()["objectives"]
    assert [result["ok"] for result in results] == [True, True]
    assert 0 < results[0]["value"] < 8
    assert results[1]["value"] > 1


def test_several_scenario_files_run_together(new_run, counting_server):
    from support.loadstone_run import SCENARIOS

    run = new_run("mixed", str(SCENARIOS / "slow.py"), "--host", counting_server.url, "-u", "6", "-r", "20", "-t", "4s")
    run.run()
    names = {key.split("?")[0] for key in counting_server.count().requests}
    assert {"GET /home", "GET /slow"} <= names
    assert run.run_json()["requests"] == counting_server.count().total
