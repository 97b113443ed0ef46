"""The fold of a journal: each entry counts once, in whatever order it comes, in bounded memory."""

import random

import pytest

from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.archive.run_state import OPEN_SECONDS, RunState
from loadstone.domain.event import EventKind
from loadstone.domain.facts import LocustCounts
from loadstone.domain.rollup import merged
from loadstone.domain.usage_tick import Usage
from loadstone.errors import FormatError
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, samples


def state_of(entries, **options):
    state = RunState(**options)
    for entry in entries:
        state.apply(entry)
    return state


def at(seconds):
    return START + round(seconds * SECOND)


def small_run(workers=2, seconds=5, per_second=20):
    run = RunMaker().started(workers=range(workers))
    incarnations = [IncarnationMaker(worker) for worker in range(workers)]
    for second in range(seconds):
        for incarnation in incarnations:
            run.add(incarnation.batch(samples(per_second, second, second + 1, error="boom" if second == 2 else None)))
    run.stopped(seconds, requests=workers * seconds * per_second)
    for incarnation in incarnations:
        run.add(incarnation.batch(at_s=seconds + 0.1, final=True))
    return run


def test_every_entry_counts_once_however_often_it_comes():
    run = small_run()
    state = state_of(run.entries)
    assert all(not state.apply(entry) for entry in run.entries)
    assert merged(state.totals.values()).n == 200
    assert state.ledger(at(9)).stored == 200


def test_the_order_of_entries_does_not_matter():
    run = small_run()
    expected = state_of(run.entries)
    shuffled = run.entries * 2
    random.Random(3).shuffle(shuffled)
    state = state_of(shuffled)
    assert (state.totals, state.open_seconds) == (expected.totals, expected.open_seconds)
    assert state.ledger(at(9)) == expected.ledger(at(9))
    assert state.lifecycle.locust_totals == LocustCounts(requests=200, failures=40)
    assert state.is_complete(at(6))


def test_seconds_hold_the_samples_that_ended_in_them():
    state = state_of(small_run().entries)
    by_second = {second: merged(names.values()) for second, names in state.open_seconds.items()}
    assert {second - START // SECOND: rollup.n for second, rollup in by_second.items()} == dict.fromkeys(range(5), 40)
    assert by_second[START // SECOND + 2].err == 40


def test_memory_is_bounded_by_open_seconds_and_late_samples_count_in_the_totals():
    incarnation, state = IncarnationMaker(), RunState()
    for second in range(500):
        state.apply_batch(incarnation.batch(samples(5, second, second + 1)))
    assert len(state.open_seconds) == OPEN_SECONDS
    state.apply_batch(incarnation.batch([Sample(3.5)], at_s=501))
    assert len(state.open_seconds) == OPEN_SECONDS
    assert START // SECOND + 3 not in state.open_seconds
    assert merged(state.totals.values()).n == 2501


def test_the_watermark_follows_the_slowest_live_incarnation():
    fast, slow, state = IncarnationMaker(0), IncarnationMaker(1), RunState()
    assert state.watermark_second() == 0
    state.apply_batch(fast.batch([Sample(7.5)]))
    state.apply_batch(slow.batch([Sample(3.5)]))
    assert state.watermark_second() == START // SECOND + 3
    state.apply_batch(slow.batch(at_s=5.2))
    assert state.watermark_second() == START // SECOND + 5
    state.apply_batch(slow.batch(at_s=5.4, final=True))
    assert state.watermark_second() == START // SECOND + 7
    state.apply_batch(fast.batch(at_s=8, final=True))
    assert state.watermark_second() == START // SECOND + 8


def test_a_lost_incarnation_does_not_hold_the_watermark_back():
    run = RunMaker().started(workers=[0, 1])
    run.add(IncarnationMaker(0).batch([Sample(3.5)])).add(IncarnationMaker(1).batch([Sample(8.5)]))
    assert state_of(run.entries).watermark_second() == START // SECOND + 3
    run.event(EventKind.WORKER_LOST, 9, worker=0)
    assert state_of(run.entries).watermark_second() == START // SECOND + 8


@pytest.mark.parametrize("reverse", [False, True])
def test_a_lost_worker_gets_a_bound_whichever_stream_is_read_first(reverse):
    incarnation = IncarnationMaker()
    run = (
        RunMaker()
        .add(incarnation.batch(samples(100, 0, 1), at_s=1))
        .add(incarnation.batch(samples(100, 1, 2), at_s=2, buffered=3))
    )
    run.event(EventKind.WORKER_LOST, 6, worker=0)
    state = state_of(reversed(run.entries) if reverse else run.entries)
    ledger = state.ledger(at(60))
    assert ledger.stored == 200
    assert ledger.unknown == pytest.approx(100 * 4 + 3, abs=5)


def test_a_run_is_complete_when_every_incarnation_of_its_roster_said_final_or_was_lost():
    zero, one = IncarnationMaker(0), IncarnationMaker(1)
    run = RunMaker().started(workers=[0, 1]).add(zero.batch([Sample(1)])).add(one.batch([Sample(1)]))
    run.stopped(2)
    assert not state_of(run.entries).is_complete(at(3))
    run.add(zero.batch(at_s=2.5, final=True))
    assert not state_of(run.entries).is_complete(at(3))
    final = [
        *run.entries,
        Entry(EntryKind.SAMPLES, "", RunMaker().add(one.batch(at_s=2.5, final=True)).entries[0].blob),
    ]
    assert state_of(final).is_complete(at(3))
    run.event(EventKind.WORKER_LOST, 2.8, worker=1)
    assert state_of(run.entries).is_complete(at(3))


def test_a_run_waits_for_a_worker_of_the_roster_that_never_sent_anything():
    incarnation = IncarnationMaker(0)
    run = RunMaker().started(workers=[0, 1]).add(incarnation.batch([Sample(1)], final=True)).stopped(2)
    state = state_of(run.entries)
    assert not state.is_complete(at(16.9))
    assert state.is_complete(at(17))


def test_a_stopped_run_of_which_nothing_came_yet_is_not_complete_at_once():
    state = state_of(RunMaker().stopped(2).entries)
    assert not state.is_complete(at(3))
    assert state.is_complete(at(17))


def test_without_batch_and_master_for_thirty_seconds_the_master_is_lost():
    run = RunMaker().started().add(IncarnationMaker().batch([Sample(10)]))
    state = state_of(run.entries)
    assert not state.is_complete(at(39.9))
    assert state.is_complete(at(40))
    assert state.master_lost


def test_a_worker_that_stops_answering_and_comes_back_is_waited_for():
    incarnation = IncarnationMaker(0)
    run = RunMaker().started().add(incarnation.batch([Sample(1)])).event(EventKind.WORKER_LOST, 5, worker=0)
    run.event(EventKind.WORKER_JOINED, 7, worker=0).stopped(9)
    state = state_of(run.entries)
    assert not state.is_complete(at(10))
    state.apply_batch(incarnation.batch(at_s=9, final=True))
    assert state.is_complete(at(10))
    assert state.ledger(at(10)).unknown == 0


def test_users_moved_once_all_wanted_users_run_again():
    run = RunMaker().started(workers=[0, 1]).event(EventKind.WORKER_LOST, 3, worker=0)
    run.event(EventKind.USERS, 4, users=3, target_users=5, workers=1)
    assert not state_of(run.entries).lifecycle.users_moved
    run.event(EventKind.USERS, 5, users=5, target_users=5, workers=1)
    assert state_of(run.entries).lifecycle.users_moved


def test_the_window_opens_after_ramp_and_warm_up_and_ends_with_the_first_word_of_stopping():
    run = RunMaker().event(EventKind.STARTED, 0, warmup_s=2.5)
    run.event(EventKind.RAMP_DONE, 3).event(EventKind.RAMP_DONE, 6).event(EventKind.STOPPING, 10)
    window = state_of(run.stopped(12).entries).lifecycle.window(at(0), at(13))
    assert (window.start_ns, window.end_ns, window.seconds, window.opened) == (at(5.5), at(10), 4.5, True)


def test_without_a_word_of_stopping_the_window_ends_behind_the_last_sample():
    run = RunMaker().event(EventKind.RAMP_DONE, 3)
    window = state_of(run.entries).lifecycle.window(at(0), at(13))
    assert at(13) in window
    assert at(13) + 1 not in window


def test_a_ramp_that_was_never_done_opens_no_window():
    window = state_of(RunMaker().event(EventKind.STARTED, 1).stopped(9).entries).lifecycle.window(at(2), at(8))
    assert not window.opened
    assert (window.start_ns, window.end_ns) == (at(1), at(9))


def test_exceptions_are_counted_per_message_and_their_workers_named():
    run = RunMaker()
    for node, count in (("a", 2), ("b", 3), ("a", 1)):
        run.event(EventKind.EXCEPTION, 1, message="boom", traceback="File", count=count, node=node, worker=0)
    found = state_of(run.entries).lifecycle.exceptions["boom", "File"]
    assert (found.count, list(found.nodes)) == (6, ["a", "b"])


def test_exceptions_belong_to_the_window_in_which_they_were_raised_not_to_that_of_their_report():
    run = RunMaker().event(EventKind.RAMP_DONE, 3)
    run.event(EventKind.EXCEPTION, 4, message="boom", count=5, ages=((15, 2), (5, 3)))
    run.event(EventKind.EXCEPTION, 8, message="boom", count=4, ages=((25, 4),)).event(EventKind.STOPPING, 7)
    run.event(EventKind.EXCEPTION, 9, message="from an older worker, after the window", count=1)
    lifecycle = state_of(run.entries).lifecycle
    assert lifecycle.exceptions_in(lifecycle.window(at(0), at(9))) == 3 + 4
    assert lifecycle.all_exceptions == 10


def test_secrets_in_the_identity_are_masked():
    run = RunMaker().event(EventKind.STARTED, 0, host="https://me:pass@host/x?token=abc&page=1")
    assert state_of(run.entries).lifecycle.identity.host == "https://***@host/x?token=***&page=1"


def test_a_part_that_was_started_again_has_not_crashed_for_good():
    run = RunMaker().event(EventKind.CRASHED, 1, part="aggregator", code=-9)
    assert state_of(run.entries).lifecycle.crashed == {"aggregator": -9}
    run.event(EventKind.RESTARTED, 2, part="aggregator")
    assert state_of(run.entries).lifecycle.crashed == {}
    assert state_of(run.entries).lifecycle.restarted == {"aggregator": 1}


def test_the_newest_usage_of_each_container_is_kept():
    run = RunMaker()
    run.usage(2, Usage(service="target", container="a", cpu_cores=2.0))
    run.usage(
        1, Usage(service="target", container="a", cpu_cores=1.0), Usage(service="db", container="b", cpu_cores=0.5)
    )
    usage = state_of(run.entries).usage
    assert usage["target", "a"][1].cpu_cores == 2.0
    assert usage["db", "b"] == (at(1), Usage(service="db", container="b", cpu_cores=0.5))


def test_damaged_blobs_are_refused_and_change_nothing():
    state = RunState()
    for kind in EntryKind:
        with pytest.raises(FormatError):
            state.apply(Entry(kind, "1-0", b"garbage"))
    assert (state.incarnations, state.usage, state.newest_ns) == ({}, {}, 0)


def test_names_beyond_the_limit_are_rolled_up_together():
    incarnation = IncarnationMaker()
    batch = incarnation.batch([Sample(number, name=("GET", f"/{number}")) for number in range(9)])
    state = RunState(name_limit=3)
    state.apply_batch(batch)
    assert state.names.capped
    assert [state.names[name][1] for name in state.totals] == ["/0", "/1", "/2", "__other__"]
    assert [rollup.n for rollup in state.totals.values()] == [1, 1, 1, 6]


def test_an_event_with_wrong_data_is_refused_and_changes_nothing():
    state = RunState()
    blob = b'{"run":"r","kind":"users","at_ns":1,"source":"master","seq":0,"data":{"users":"many"}}'
    with pytest.raises(FormatError, match="users"):
        state.apply(Entry(EntryKind.EVENTS, "1-0", blob))
    assert (state.lifecycle.users, state.lifecycle.master_ns, state.newest_ns) == (0, 0, 0)


def test_an_event_without_data_leaves_what_it_would_say_unknown():
    run = RunMaker().event(EventKind.USERS, 1).event(EventKind.ROSTER, 1)
    run.event(EventKind.STARTED, 1).event(EventKind.CRASHED, 1)
    lifecycle = state_of(run.entries).lifecycle
    assert (lifecycle.users, lifecycle.roster, lifecycle.warmup_ns, lifecycle.crashed) == (0, set(), 0, {"": None})
