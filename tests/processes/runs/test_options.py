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


def test_the_exit_code_says_that_an_objective_fails_and_usage_of_the_target_is_judged(new_run, counting_server):
    objectives = ("failures>=50%", "failures<=0%", "p99<60s", "cpu(target)<64", "mem(target)<8GiB")
    run = new_run(
        *("mixed", "--host", counting_server.url, "-u", "3", "-r", "10", "-t", "4s"),
        *("--target-pid", str(counting_server.pid), "--objective", *objectives),
    )
    code = run.run()
    found = run.run_json()
    assert [result["ok"] for result in found["objectives"]] == [False, True, True, True, True]
    cores, gibibytes = (result["value"] for result in found["objectives"][3:])
    assert 0 < cores < 8
    assert 0.001 < gibibytes < 1
    assert (code, found["verdict"]) == (1, "fail")


def test_steady_state_counts_from_the_ramp_and_the_window_leaves_the_warm_up_out(new_run, counting_server):
    run = new_run(
        *("mixed", "--host", counting_server.url, "-u", "6", "-r", "3", "--steady-state", "2s", "--warmup", "1s")
    )
    run.run()
    window = run.run_json()["window"]
    times = {event["kind"]: event["at_ns"] for event in reversed(run.events())}
    assert times["ramp_done"] - times["started"] > 0.9e9, "six users at three a second"
    assert window["start_ns"] - times["ramp_done"] == pytest.approx(1e9, abs=1e6)
    assert times["stopping"] - window["start_ns"] >= 1.9e9
