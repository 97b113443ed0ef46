"""What exit code Locust gives a run, and why."""

from types import SimpleNamespace
from typing import Any

import pytest
from locust import log as locust_log

from loadstone.domain.event import Exited
from loadstone.hook.outcome import RunOutcome


@pytest.fixture(autouse=True)
def nothing_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locust_log, "unhandled_greenlet_exception", False)


def environment_of(failures: int = 0, exceptions: int = 0, on_error: int = 1) -> Any:
    """A master's environment after so many failed requests and exceptions."""
    runner = SimpleNamespace(
        errors={"a": SimpleNamespace(occurrences=failures)} if failures else {},
        exceptions={1: {"count": exceptions}} if exceptions else {},
    )
    options = SimpleNamespace(exit_code_on_error=on_error)
    return SimpleNamespace(runner=runner, parsed_options=options, process_exit_code=None)


def test_a_run_without_a_flaw_ends_with_0():
    assert RunOutcome(environment_of()).now() == Exited(code=0)


def test_failures_and_exceptions_end_it_with_the_code_that_the_user_chose():
    assert RunOutcome(environment_of(failures=3)).now() == Exited(code=1, failures=3)
    assert RunOutcome(environment_of(exceptions=2, on_error=9)).now() == Exited(code=9, exceptions=2)
    assert RunOutcome(environment_of(failures=3, on_error=0)).now() == Exited(code=0, failures=3)


def test_what_a_listener_raises_ends_it_with_2_and_is_not_hidden_by_failures():
    locust_log.unhandled_greenlet_exception = True
    assert RunOutcome(environment_of()).now() == Exited(code=2, raised=True)
    assert RunOutcome(environment_of(failures=1)).now() == Exited(code=1, failures=1, raised=True)


@pytest.mark.parametrize(("chosen", "code"), [(7, 7), (0, 0), (True, 1), (-1, 255), (256, 0), ("no", 1), ([], 1)])
def test_the_scenario_s_own_code_comes_first_as_a_parent_process_would_see_it(chosen, code):
    environment = environment_of(failures=1)
    environment.process_exit_code = chosen
    assert RunOutcome(environment).now() == Exited(code=code, chosen=True, failures=1)


def test_a_process_that_goes_on_judges_each_run_by_itself_and_all_of_them_at_its_end():
    environment = environment_of()
    outcome = RunOutcome(environment)
    outcome.begin(only_run=False)
    environment.process_exit_code, locust_log.unhandled_greenlet_exception = 7, True
    assert outcome.now().code == 7
    outcome.begin(only_run=False)
    assert outcome.now() == Exited(code=0)
    outcome.give_back()
    assert (environment.process_exit_code, locust_log.unhandled_greenlet_exception) == (7, True)


def test_a_process_with_one_run_keeps_what_was_set_before_it():
    environment = environment_of()
    environment.process_exit_code = 5
    outcome = RunOutcome(environment)
    outcome.begin(only_run=True)
    assert outcome.now().code == 5


def test_at_the_end_locusts_own_decision_counts_whatever_came_up_since():
    assert RunOutcome(environment_of(failures=3)).at_exit(0) == Exited(code=0, failures=3)
    environment = environment_of(failures=3)
    environment.process_exit_code = 7
    assert RunOutcome(environment).at_exit(7) == Exited(code=7, chosen=True, failures=3)
    assert RunOutcome(environment).at_exit(1) == Exited(code=1, failures=3)
    assert RunOutcome(environment_of()).at_exit(None) == Exited(code=0)


def test_a_request_may_say_what_failures_of_its_run_come_to():
    environment = environment_of(failures=3)
    outcome = RunOutcome(environment)
    outcome.begin(only_run=False, code_on_error=0)
    assert (outcome.now().code, outcome.now().failures) == (0, 3)
    outcome.begin(only_run=False)
    assert outcome.now().code == 1
