"""A run that is shorter than was asked for, or has fewer users or more, does not pass unless somebody wanted that."""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.timeout(400)
WIDE = ("--objective", "p95<3s")
LOAD = ("-u", "5", "-r", "50", "--workers", "1", *WIDE)


@pytest.mark.fault(
    "the run is ended by a signal to Locust's master",
    verdict="inconclusive",
    shown="that it was cut short by a signal, how long it was to be and how long it was",
)
def test_a_run_that_a_signal_cuts_short_is_no_sound_measurement(new_run, counting_server):
    run = new_run("steady", "--host", counting_server.url, *LOAD, "-t", "80s").start()
    run.wait_for(lambda: counting_server.count().total > 100 or None, timeout_s=150)
    run.part("--master ").send_signal(signal.SIGTERM)
    assert run.finish(200) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert (found["ending"]["asked_s"], found["ending"]["ended_by"]) == (80.0, "signal")
    assert any("the run was cut short (signal): asked for 80 s of the run, got" in text for text in found["reasons"])
    assert found["requests"] == counting_server.count().total


@pytest.mark.fault(
    "the scenario ends the run with `runner.quit()` before its time",
    verdict="pass",
    shown="a note: what ended it, how long it was to be and how long it was",
)
def test_a_run_that_its_scenario_ends_says_so(new_run, counting_server):
    run = new_run("leaves_early", "--host", counting_server.url, *LOAD, "-t", "80s")
    assert run.start().finish(200) == 0, run.output
    found = run.run_json()
    assert (found["verdict"], found["ending"]["ended_by"]) == ("pass", "scenario")
    assert any("ended early by the scenario: asked for 80 s of the run, got" in text for text in found["notices"])
    assert found["requests"] == counting_server.count().total


@pytest.mark.fault(
    "users fail as they start, and fewer run than were asked for",
    verdict="inconclusive",
    shown="for how long users were missing, and how few ran at the worst moment",
)
def test_a_run_without_all_its_users_is_no_sound_measurement(new_run, counting_server):
    run = new_run("fewer_users", "--host", counting_server.url, *LOAD, "-t", "12s", "--exit-code-on-error", "0")
    assert run.start().finish(200) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    assert any("fewer users ran than were wanted" in text and "3 of 5" in text for text in found["reasons"])


@pytest.mark.fault(
    "more users run than were asked for: the scenario starts them, or Locust gave users to two workers",
    verdict="inconclusive",
    shown="for how long there were too many, and how many ran at the worst moment",
)
def test_a_run_with_users_that_nobody_asked_for_is_no_sound_measurement(new_run, counting_server):
    run = new_run("more_users", "--host", counting_server.url, *LOAD, "-t", "12s")
    assert run.start().finish(200) == 3, run.output
    found = run.run_json()
    assert (found["verdict"], found["users_peak"]) == ("inconclusive", 8)
    assert found["ending"]["users_surplus_s"] > 4
    (reason,) = found["reasons"]
    assert reason.startswith("more users ran than were wanted for ")
    assert "(at the worst 8 of 5)" in reason
    assert reason in " ".join(run.output.split())
