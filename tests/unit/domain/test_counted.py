"""What Locust counted beside what the archive holds, and the exceptions of tasks."""

import pytest

from loadstone.domain.counted import difference_from_locust
from loadstone.domain.facts import LocustCounts
from loadstone.domain.ledger import Ledger
from loadstone.domain.objective import parse_objectives
from loadstone.domain.verdict import judge
from support.fact_maker import facts

FEWER, EQUAL, MORE = (LocustCounts(requests=requests, failures=4, exceptions=2) for requests in (95, 100, 105))
SOUND = {"failures": 4, "exceptions_of_run": 2}


def difference(locust, **changes):
    return difference_from_locust(facts(locust=locust, **{**SOUND, **changes}))


def verdict(*texts, **changes):
    return judge(parse_objectives(texts), facts(**changes))


def test_equal_totals_are_no_difference():
    assert difference(EQUAL) == ""
    assert difference(None) == ""


def test_every_total_that_differs_is_named_with_both_figures():
    assert difference(MORE) == "Locust counted 105 requests where the archive holds 100"
    assert difference(FEWER) == "Locust counted 95 requests where the archive holds 100"
    assert difference(EQUAL, exceptions_of_run=3) == ""  # Locust counts none whose text raises
    assert difference(EQUAL, failures=3, exceptions_of_run=0) == (
        "Locust counted 4 failures where the archive holds 3 and 2 exceptions where the archive holds 0"
    )


def test_what_was_dropped_or_is_unknown_explains_what_locust_counted_more():
    assert difference(MORE, ledger=Ledger(produced=105, stored=100, dropped=5)) == ""
    assert difference(MORE, ledger=Ledger(produced=100, stored=100, unknown=5)) == ""
    assert difference(MORE, ledger=Ledger(produced=104, stored=100, dropped=4)) != ""


@pytest.mark.parametrize("reason", [{"lost_workers": (1,)}, {"ledger": Ledger(produced=100, stored=100, unknown=5)}])
def test_a_worker_that_died_before_it_reported_explains_what_locust_counted_less(reason):
    assert difference(FEWER, **reason) == ""


def test_statistics_that_were_reset_explain_what_locust_counted_less_but_not_more():
    assert difference(LocustCounts(requests=95, failures=0, exceptions=0, reset=True)) == ""
    assert difference(LocustCounts(requests=105, failures=4, exceptions=2, reset=True)) != ""


def test_errors_logged_without_a_request_are_no_requests_to_locust():
    assert difference(FEWER, lone_errors=5) == ""
    assert difference(EQUAL, lone_errors=5) == "Locust counted 100 requests where the archive holds 95"


def test_exceptions_that_an_older_master_did_not_report_are_not_compared():
    assert difference(LocustCounts(requests=100, failures=4)) == ""


def test_an_objective_limits_the_exceptions_of_tasks_in_the_window():
    outcome = verdict("exceptions==0", exceptions=2, exceptions_of_run=3)
    assert (outcome.word, outcome.exit_code) == ("fail", 1)
    assert outcome.reasons == ("exceptions are 2, must be == 0",)
    assert outcome.notices == ("1 exception was raised by tasks outside the window",)
    assert verdict("exceptions<=2", exceptions=2, exceptions_of_run=2).word == "pass"


def test_exceptions_are_a_notice_where_no_objective_limits_them():
    outcome = verdict("p95<500ms", exceptions=2, exceptions_of_run=3)
    assert outcome.word == "pass"
    assert outcome.notices == (
        "3 exceptions were raised by tasks, 2 of them in the window; no objective limits exceptions",
    )


def test_exceptions_are_judged_in_a_window_without_requests_too():
    outcome = verdict("exceptions==0", names={}, exceptions=1, exceptions_of_run=1)
    assert outcome.objectives[0].value == 1


def test_unknown_requests_may_have_raised_exceptions():
    lost = Ledger(produced=100, stored=100, unknown=3)
    assert verdict("exceptions==0", ledger=lost).word == "inconclusive"
    assert verdict("exceptions<=3", ledger=lost).word == "pass"


def test_lone_errors_are_a_notice_that_says_how_they_count():
    (notice,) = verdict("failures<=10", lone_errors=2).notices
    assert notice.startswith("2 errors were logged without a request of the same name")
