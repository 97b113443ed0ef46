"""Locust's exit code in the verdict: nothing but 0 passes, unless objectives judge what the code stands for."""

import pytest

from loadstone.domain.facts import ExitFacts
from loadstone.domain.ledger import Ledger
from loadstone.domain.objective import parse_objectives
from loadstone.domain.verdict import judge
from support.fact_maker import facts

FAILED = ExitFacts(code=1, failures=3)
UNJUDGED = (
    "Locust's exit code is 1, because 3 requests failed; if that may be, give an objective on failures, or "
    "--exit-code-on-error 0"
)


def verdict(*texts, exits, **changes):
    return judge(parse_objectives(texts), facts(exits=tuple(exits), **changes))


@pytest.mark.parametrize(
    ("exited", "reason"),
    [
        (ExitFacts(code=7, chosen=True), "the scenario ended with exit code 7"),
        (ExitFacts(code=7, chosen=True, failures=3), "the scenario ended with exit code 7"),
        (ExitFacts(code=3, chosen=True, worker=1), "the scenario ended with exit code 3 on worker 1"),
        (
            ExitFacts(code=2, raised=True),
            "Locust's exit code is 2: code of the scenario outside of tasks raised an exception",
        ),
        (
            ExitFacts(code=1, raised=True, failures=2),
            "Locust's exit code is 1: code of the scenario outside of tasks raised an exception",
        ),
        (ExitFacts(code=5), "Locust's exit code is 5"),
    ],
)
def test_a_code_that_is_not_0_fails_whatever_the_objectives_say(exited, reason):
    outcome = verdict("failures<100%", "p95<500ms", exits=[exited])
    assert (outcome.word, outcome.exit_code, outcome.reasons) == ("fail", 1, (reason,))


def test_a_code_that_master_and_workers_share_is_named_once():
    codes = [ExitFacts(code=7, chosen=True, worker=worker) for worker in (None, 0, 1)]
    assert verdict(exits=codes).reasons == ("the scenario ended with exit code 7",)


def test_failed_requests_fail_a_run_that_does_not_judge_them():
    for texts in ((), ("p95<500ms",), ("failures[/predict]<1%",)):
        outcome = verdict(*texts, exits=[FAILED])
        assert (outcome.word, outcome.reasons) == ("fail", (UNJUDGED,))


def test_an_objective_on_failures_judges_them_and_the_code_is_a_notice():
    outcome = verdict("failures<=5%", exits=[FAILED], failed=3, failures=3)
    assert (outcome.word, outcome.reasons) == ("pass", ())
    assert outcome.notices == ("Locust's exit code is 1, because 3 requests failed; the objectives judge that",)


def test_an_objective_on_failures_does_not_judge_exceptions():
    outcome = verdict("failures<=5%", exits=[ExitFacts(code=1, failures=1, exceptions=1)])
    assert outcome.word == "fail"
    assert "because 1 request failed and tasks raised 1 exception; " in outcome.reasons[0]


def test_code_0_passes_whatever_was_counted():
    outcome = verdict(exits=[ExitFacts(code=0, failures=3, exceptions=2, raised=True)])
    assert (outcome.word, outcome.reasons) == ("pass", ())


def test_an_interrupt_comes_before_the_code():
    outcome = verdict(exits=[FAILED], interrupted=True)
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 130)


def test_a_master_that_was_killed_at_the_end_leaves_a_doubt():
    outcome = verdict(exits=[ExitFacts(code=None)])
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 3)
    assert outcome.reasons == (
        "Locust's master was killed before it ended by itself, so the scenario's exit code is unknown",
    )
    lost = verdict(exits=[ExitFacts(code=None)], master_lost=True)
    assert lost.reasons == ("master lost: it never reported the end of the run",)


def test_an_exit_code_that_nobody_reported_leaves_a_doubt():
    outcome = verdict("failures<5%", exits=[], exit_unknown=True)
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 3)
    assert outcome.reasons == ("Locust's exit code is unknown: nothing reported it after the run had stopped",)


@pytest.mark.parametrize(
    ("counted", "outside"),
    [
        ({"exits": [FAILED], "failures": 3}, 3),
        ({"exits": [FAILED], "failed": 1, "failures": 3}, 2),
        ({"exits": [FAILED], "failed": 1, "failures": 1}, 2),
        ({"exits": [FAILED], "failed": 1, "failures": 3, "ledger": Ledger(produced=103, stored=100, unknown=3)}, 2),
        ({"exits": [ExitFacts(code=1, exceptions=4)], "exceptions": 1, "exceptions_of_run": 4}, 3),
    ],
)
def test_objectives_do_not_overrule_the_code_for_what_is_outside_the_window(counted, outside):
    outcome = verdict("failures<5%", "exceptions<=4", **counted)
    assert outcome.word == "fail"
    assert any(
        reason.endswith(
            f", {outside} of them outside the window, where no objective judges; if that may be, --exit-code-on-error 0"
        )
        for reason in outcome.reasons
    )


def test_what_was_dropped_is_left_to_the_doubts_about_it():
    outcome = verdict(
        "failures<50%", exits=[FAILED], failed=1, failures=1, ledger=Ledger(produced=102, stored=100, dropped=2)
    )
    assert (outcome.word, outcome.reasons) == ("pass", ())
