"""The verdict: the table of the design, row by row."""

import pytest

from loadstone.domain.facts import LocustCounts, Window
from loadstone.domain.ledger import Ledger
from loadstone.domain.objective import parse_objectives
from loadstone.domain.verdict import judge, lag_limit_ms
from support.fact_maker import SECOND, facts, service, worker

UNSOUND = {
    "event loop": {"workers": (worker(0), worker(1, lag_p99_ms=30.0))},
    "clocks": {"workers": (worker(0, clock_offset_ms=-60.0), worker(1, clock_offset_ms=50.0))},
    "out of balance": {"ledger": Ledger(produced=100, stored=99, unbalanced=("b",), off_by=1)},
    "master lost": {"master_lost": True},
    "no request": {"names": {}},
    "Locust counted 101 requests where the archive holds 100": {"locust": LocustCounts(requests=101, failures=0)},
    "ramp": {"window": Window(0, 10 * SECOND, opened=False)},
    "not all users were restarted": {"lost_workers": (1,), "users_moved": False},
}
UNREPORTED = (
    "1 request was sent but reported to nobody, for example because an exception left the catch_response block; "
    "the server saw more than Locust counted"
)


def verdict(*texts, **changes):
    return judge(parse_objectives(texts), facts(**changes))


def word(*texts, **changes):
    outcome = verdict(*texts, **changes)
    return outcome.word, int(outcome.exit_code)


def test_all_objectives_hold():
    outcome = verdict("p95<500ms", "failures<=1%", "cpu(target)<90%")
    assert (outcome.word, outcome.exit_code, outcome.reasons, outcome.notices) == ("pass", 0, (), ())
    assert [result.ok for result in outcome.objectives] == [True, True, True]


def test_an_objective_fails_and_the_reason_names_value_and_limit():
    outcome = verdict("max<50ms", "failures<=1%")
    assert (outcome.word, outcome.exit_code) == ("fail", 1)
    assert outcome.reasons == ("max is 100 ms, must be < 50 ms",)


def test_a_target_that_ends_under_load_fails_even_an_unsound_run():
    outcome = verdict("p95<500ms", target_exited=True, target_exit_code=-9, master_lost=True)
    assert (outcome.word, outcome.exit_code) == ("fail", 1)
    assert outcome.reasons[0] == "the target exited under load (exit code -9)"


@pytest.mark.parametrize("what", UNSOUND)
def test_an_unsound_measurement_is_inconclusive_with_and_without_objectives(what):
    for texts in ((), ("p95<500ms",)):
        outcome = verdict(*texts, **UNSOUND[what])
        assert (outcome.word, outcome.exit_code) == ("inconclusive", 3)
        assert any(what in reason for reason in outcome.reasons)


@pytest.mark.parametrize("what", ["event loop", "clocks", "master lost", "ramp", "not all users were restarted"])
def test_a_failing_latency_that_the_measurement_may_have_caused_is_inconclusive(what):
    outcome = verdict("max<50ms", **UNSOUND[what])
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 3)
    assert "max is 100 ms, must be < 50 ms" in outcome.reasons


def test_failures_that_a_gasping_worker_cannot_have_caused_still_fail():
    outcome = verdict("failures<1%", failed=50, **UNSOUND["event loop"])
    assert (outcome.word, outcome.exit_code) == ("fail", 1)
    assert len(outcome.reasons) == 2


def test_a_failing_usage_objective_stands_whatever_is_wrong_with_requests():
    assert word("cpu(target)<10%", master_lost=True) == ("fail", 1)


def test_usage_missing_though_an_objective_needs_it_is_inconclusive():
    outcome = verdict("cpu(target)<90%", "p95<500ms", usage={})
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 3)
    assert "no usage of 'target'" in outcome.reasons[0]
    assert word("p95<500ms", usage={}) == ("pass", 0)


def test_an_objective_on_a_name_that_was_never_requested_is_inconclusive_unless_another_fails():
    assert word("p95[/other]<500ms") == ("inconclusive", 3)
    assert word("p95[/other]<500ms", "max<50ms") == ("fail", 1)


def test_interrupted_comes_first_and_objectives_are_still_evaluated():
    outcome = verdict("max<50ms", interrupted=True, target_exited=True)
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 130)
    assert outcome.reasons[0] == "the run was interrupted"
    assert outcome.objectives[0].ok is False


def test_a_part_that_stayed_away_is_a_matter_of_the_platform():
    outcome = verdict("max<50ms", crashed={"aggregator": -9})
    assert (outcome.word, outcome.exit_code) == ("inconclusive", 4)
    assert outcome.reasons[0] == "aggregator exited (exit code -9) and could not be restarted"


@pytest.mark.parametrize(
    ("texts", "limit"), [((), 10), (("p95<100ms",), 10), (("p95<900ms", "p50<600ms"), 30), (("p95>900ms",), 10)]
)
def test_the_event_loop_may_be_late_by_a_share_of_the_tightest_latency(texts, limit):
    assert lag_limit_ms(parse_objectives(texts)) == limit
    assert word(*texts, workers=(worker(lag_p99_ms=limit),))[0] != "inconclusive"
    assert word(*texts, workers=(worker(lag_p99_ms=limit + 0.1),))[0] == "inconclusive"


@pytest.mark.parametrize(
    ("shortage", "cause"),
    [({"throttled_us": 200_000}, "its cgroup throttled it for 0.2 s"), ({"cpu_pct": 99.0}, "it used 99 % of a core")],
)
def test_a_worker_short_of_cpu_may_be_late_by_half_as_much(shortage, cause):
    outcome = verdict(workers=(worker(lag_p99_ms=6.0, **shortage),))
    assert outcome.word == "inconclusive"
    assert cause in outcome.reasons[0]
    assert word(workers=(worker(lag_p99_ms=4.9, **shortage),)) == ("pass", 0)
    assert word(workers=(worker(lag_p99_ms=6.0),)) == ("pass", 0)


@pytest.mark.parametrize("field", ["unknown", "dropped"])
@pytest.mark.parametrize(
    ("text", "extra", "expected"),
    [
        ("p95<95.5ms", 1, "inconclusive"),  # 95 ms is the 95th of 100, and of 101 the 96th
        ("p95<500ms", 5, "pass"),
        ("p95<500ms", 6, "inconclusive"),  # six slower than any limit among 106
        ("p50<10ms", 50, "fail"),  # even 50 quick ones leave the median at 25 ms
        ("p50<10ms", 90, "inconclusive"),
        ("failures<=5%", 5, "pass"),
        ("failures<=5%", 6, "inconclusive"),
        ("failures==0", 1, "inconclusive"),
        ("rps>=10", 9, "pass"),
        ("rps>=11", 9, "fail"),
        ("rps>=11", 10, "inconclusive"),
        ("mean<60ms", 10, "pass"),
        ("mean<60ms", 40, "inconclusive"),
        ("max<101ms", 40, "pass"),
        ("cpu(target)<90%", 10_000, "pass"),
    ],
)
def test_missing_samples_matter_only_where_they_could_change_an_objective(field, text, extra, expected):
    outcome = verdict(text, ledger=Ledger(produced=100, stored=100, **{field: extra}))
    assert outcome.word == expected
    assert any(str(extra) in notice for notice in outcome.notices)


def test_missing_samples_without_an_objective_are_a_notice():
    outcome = verdict(ledger=Ledger(produced=100, stored=100, unknown=40))
    assert outcome.word == "pass"
    assert outcome.notices == ("0 requests were dropped, and at most 40 are unknown",)


def test_a_failure_that_an_unbalanced_ledger_could_not_have_saved_stands():
    out = Ledger(produced=100, stored=99, unbalanced=("b",), off_by=1)
    assert word("max<50ms", ledger=out) == ("fail", 1)
    assert word("failures==0", failed=1, ledger=out) == ("fail", 1)


def test_a_lost_worker_whose_users_moved_is_a_notice():
    outcome = verdict("p95<500ms", lost_workers=(3,))
    assert outcome.word == "pass"
    assert outcome.notices == ("worker 3 was lost; all users run on other workers",)


def test_failures_are_shown_when_no_objective_judges_them():
    assert verdict("p95<500ms", failed=2).notices == ("2 of 100 requests failed (2 %); no objective limits failures",)
    assert verdict("failures<5%", failed=2).notices == ()


def test_what_else_a_reader_should_know_is_a_notice():
    outcome = verdict(
        aborted=3, restarted={"aggregator": 2}, names_capped=True, unreported=1, damage=("segment 2 is damaged",)
    )
    assert outcome.word == "pass"
    assert outcome.notices == (
        "aggregator exited and was restarted 2 times",
        "3 requests were cut off in flight when users stopped",
        "too many request names: those beyond the limit are counted together as __other__",
        UNREPORTED,
        "segment 2 is damaged",
    )


def test_a_service_with_usage_but_no_limit_leaves_a_percentage_unmeasured():
    assert word("mem(target)<80%", usage={"target": service(mem_pct=None)}) == ("inconclusive", 3)


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        ((2,), "worker 2 took part in the run without recording it; start workers with `loadstone worker`"),
        ((1, 3), "workers 1, 3 took part in the run without recording it; start workers with `loadstone worker`"),
    ],
)
def test_a_worker_that_recorded_nothing_is_a_doubt(workers, reason):
    outcome = verdict("p95<500ms", silent_workers=workers)
    assert (outcome.word, outcome.exit_code, outcome.reasons) == ("inconclusive", 3, (reason,))


def test_a_worker_that_left_properly_is_a_notice():
    outcome = verdict("p95<500ms", left_workers=(1,))
    assert (outcome.word, outcome.reasons) == ("pass", ())
    assert outcome.notices == ("worker 1 has left before the end; all requests until then are recorded",)
