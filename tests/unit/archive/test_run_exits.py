"""How the processes of Locust ended: a run waits for their exit codes, and what was observed counts most."""

import random

import pytest

from loadstone.archive.run_state import CLOSE_AFTER_S, RunState
from loadstone.domain.event import EventKind, Exited
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples
from support.varied_run import closed, document_of


def run_of(exit_from, *exits):
    run, incarnation = RunMaker().started(exit_from=exit_from), IncarnationMaker(0)
    run.add(incarnation.batch(samples(10, 0, 1)))
    run.stopped(1, requests=10)
    run.add(incarnation.batch(at_s=1.1, final=True))
    for at_s, data in enumerate(exits, start=2):
        run.event(EventKind.EXITED, at_s, **data)
    return run


def state_of(run):
    entries = list(run.entries)
    random.Random(5).shuffle(entries)
    state = RunState()
    for entry in entries:
        state.apply(entry)
    return state


def is_complete(state, after_stop_s):
    return state.is_complete(START + round((1 + after_stop_s) * SECOND))


@pytest.mark.parametrize(
    ("exit_from", "exits"),
    [
        (None, []),
        ("process", [{"code": 0}]),
        ("command", [{"code": 0, "observed": True}]),
        ("command", [{"code": 3}, {"observed": True}]),
    ],
)
def test_a_run_whose_exit_code_is_known_is_complete(exit_from, exits):
    assert is_complete(state_of(run_of(exit_from, *exits)), 0.2)


@pytest.mark.parametrize(
    ("exit_from", "exits"),
    [
        ("process", []),
        ("process", [{"code": 3, "worker": 0}]),
        ("command", []),
        ("command", [{"code": 3}]),
    ],
)
def test_a_run_waits_for_its_exit_code_but_not_for_ever(exit_from, exits):
    state = state_of(run_of(exit_from, *exits))
    assert not is_complete(state, CLOSE_AFTER_S - 1)
    assert is_complete(state, CLOSE_AFTER_S)


@pytest.mark.parametrize(
    ("exits", "known"),
    [
        ([{"code": 7, "chosen": True}, {"code": 7, "observed": True}], [Exited(code=7, chosen=True)]),
        ([{"code": 0}, {"code": 5, "observed": True}], [Exited(code=5, observed=True)]),
        ([{"code": 5, "observed": True}], [Exited(code=5, observed=True)]),
        (
            [{"code": 3, "worker": 1}, {"code": 4, "worker": 0}, {"code": 0}],
            [Exited(code=0), Exited(code=4, worker=0), Exited(code=3, worker=1)],
        ),
    ],
)
def test_what_a_process_says_of_its_exit_counts_unless_it_was_seen_to_exit_otherwise(exits, known):
    assert list(state_of(run_of("command", *exits)).lifecycle.exits) == known


def test_a_worker_of_the_roster_that_never_sent_a_batch_is_silent():
    run = RunMaker().started(workers=(0, 1, 2))
    run.add(IncarnationMaker(0).batch(samples(1, 0, 1)))
    run.event(EventKind.WORKER_LOST, 2, worker=2)
    assert state_of(run).silent_workers == {1}


def test_a_worker_that_never_sent_a_batch_and_left_when_users_stopped_is_silent_too(tmp_path):
    run = RunMaker().started(workers=(0, 1))
    recorded = IncarnationMaker(0)
    run.add(recorded.batch(samples(9, 0, 1))).event(EventKind.STOPPING, 2).event(EventKind.WORKER_LOST, 2.5, worker=1)
    run.add(recorded.batch(samples(9, 2, 3), final=True)).stopped(3)
    document = document_of(closed(tmp_path, run.entries))
    assert document["lost_workers"] == []
    assert document["ledgers"]["archive"]["unknown"] == 0
    assert any("worker 1 took part in the run without recording it" in reason for reason in document["reasons"])


@pytest.mark.parametrize(
    ("exit_from", "exits", "unknown"),
    [
        (None, [], False),
        ("process", [{"code": 0}], False),
        ("command", [{"code": 0, "observed": True}], False),
        ("process", [], True),
        ("process", [{"code": 0, "worker": 0}], True),
        ("command", [{"code": 0}], False),
        ("command", [{"observed": True}], False),
        ("command", [], True),
    ],
)
def test_a_run_whose_exit_code_never_came_is_inconclusive(tmp_path, exit_from, exits, unknown):
    document = document_of(closed(tmp_path, run_of(exit_from, *exits).entries))
    said = "Locust's exit code is unknown: nothing reported it after the run had stopped"
    assert (said in document["reasons"]) is unknown
