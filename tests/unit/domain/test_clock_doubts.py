"""Clocks that disagree: with each other, with the stream server's, with the target's."""

import pytest

from loadstone.domain.objective import parse_objectives
from loadstone.domain.verdict import judge
from support.fact_maker import facts, worker


def verdict(*texts, workers=None, **changes):
    return judge(parse_objectives(texts), facts(workers=workers or (worker(0), worker(1)), **changes))


def shared(offset_ms, **more):
    return tuple(worker(number, clock_offset_ms=offset_ms, **more) for number in (0, 1))


@pytest.mark.parametrize(
    ("offset_ms", "expected"), [(-8000.0, "inconclusive"), (101.0, "inconclusive"), (99.0, "pass")]
)
def test_an_error_that_all_workers_share_is_a_doubt(offset_ms, expected):
    assert verdict("p95<500ms", workers=shared(offset_ms)).word == expected
    assert verdict(workers=shared(offset_ms)).word == expected


def test_the_reason_says_whose_clock_is_off_and_which_way():
    assert verdict(workers=shared(-8000.0)).reasons == (
        "the clock of workers 0, 1 is 8 s behind the stream server's; at most 100 ms are allowed",
    )
    (reason,) = verdict("failures<1%", failed=50, master_offset_ms=250.0).reasons[1:]
    assert reason == (
        "the master's clock, which dates the window, is 250 ms ahead of the stream server's; at most 100 ms are allowed"
    )


def test_a_missed_objective_on_requests_is_excused_and_one_on_usage_is_not():
    assert verdict("max<50ms", workers=shared(-8000.0)).word == "inconclusive"
    assert verdict("cpu(target)<10%", workers=shared(-8000.0)).word == "fail"


@pytest.mark.parametrize(
    ("worker_facts", "expected"),
    [
        ({"own_stream": True}, "inconclusive"),  # the stream server has the same wrong clock
        ({"own_stream": False, "clock_offset_ms": None}, "inconclusive"),
        ({"own_stream": False, "clock_offset_ms": 3.0}, "pass"),  # two against one: it is the target's that is off
    ],
)
def test_the_target_is_believed_unless_another_machine_contradicts_it(worker_facts, expected):
    outcome = verdict("p95<500ms", workers=(worker(0, target_offset_ms=-7100.0, **worker_facts),))
    assert outcome.word == expected
    (told,) = outcome.reasons or outcome.notices
    assert told.startswith("the clock of worker 0 is at least 7.1 s behind the target's, by the Date of its answers")


def test_a_second_or_two_may_be_the_targets_way_to_write_dates():
    assert verdict(workers=(worker(target_offset_ms=2000.0, own_stream=True),)).word == "pass"
    assert verdict(workers=(worker(target_offset_ms=2000.1, own_stream=True),)).word == "inconclusive"
