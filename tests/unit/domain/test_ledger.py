"""The ledger: every produced sample is somewhere, once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.batch import Batch, Columns
from loadstone.domain.ledger import IncarnationLedger, SeqTracker, SourceSeqs, ledger_of

SECOND = 1_000_000_000


def batch(seq, n, produced, *, sent_s, dropped=0, buffered=0, final=False, users=0):
    ends = np.arange(n, dtype=np.int64) + int(sent_s * SECOND) - n
    zeros = np.zeros(n, np.int64)
    small = np.zeros(n, np.int32)
    return Batch(
        run="r",
        worker=3,
        incarnation="b",
        seq=seq,
        produced=produced,
        dropped=dropped,
        buffered=buffered,
        users=users,
        cpu_pct=0.0,
        rss_bytes=0,
        new_connections=0,
        clock_offset_ms=None,
        throttled_us=0,
        aborted=0,
        loop_lag_us=(),
        sent_ns=int(sent_s * SECOND),
        final=final,
        names=(("GET", "/"),),
        errors=(),
        columns=Columns(ends, zeros, small, zeros, small, small, small - 1, zeros - 1),
    )


def incarnation(*batches):
    ledger = IncarnationLedger(incarnation="b", worker=3)
    for one in batches:
        ledger.apply(one)
    return ledger


@given(st.lists(st.integers(0, 60), max_size=150))
def test_a_sequence_number_is_new_exactly_once(numbers):
    tracker, seen = SeqTracker(), set()
    for number in numbers:
        assert tracker.add(number) == (number not in seen)
        seen.add(number)
    assert len(tracker) == len(seen)
    assert all((number in tracker) == (number in seen) for number in range(62))


def test_a_tracker_does_not_grow_behind_a_gap_that_never_fills():
    tracker = SeqTracker()
    for number in range(1, 100_000):
        tracker.add(number)
    assert len(tracker._starts) == 1
    assert (0 in tracker, 1 in tracker, len(tracker)) == (False, True, 99_999)


def test_each_source_has_sequence_numbers_of_its_own():
    seqs = SourceSeqs()
    assert [seqs.add(source, 0) for source in ("a", "b", "a", ("b", 0))] == [True, True, False, True]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=20), st.randoms())
def test_an_incarnation_that_said_final_balances_in_whatever_order_and_however_often_its_batches_come(parts, random):
    batches, produced, dropped = [], 0, 0
    for n, fits in parts:
        produced += n
        dropped += 0 if fits else n
        if fits:
            batches.append(batch(len(batches), n, produced, sent_s=100 + len(batches), dropped=dropped))
    batches.append(batch(len(batches), 1, produced + 1, sent_s=200, dropped=dropped, final=True))
    twice = batches * 2
    random.shuffle(twice)
    ledger = ledger_of([incarnation(*twice)], 300 * SECOND)
    assert (ledger.produced, ledger.dropped, ledger.unknown) == (produced + 1, dropped, 0)
    assert ledger.produced == ledger.stored + ledger.dropped
    assert ledger.balances


def test_a_batch_sent_twice_counts_once():
    ledger = incarnation()
    one = batch(0, 5, 5, sent_s=10)
    assert ledger.apply(one)
    assert not ledger.apply(one)
    assert ledger.stored == 5


def test_a_missing_batch_of_an_ended_incarnation_unbalances_the_ledger():
    ended = incarnation(batch(0, 5, 5, sent_s=10), batch(2, 5, 15, sent_s=11, final=True))
    ledger = ledger_of([ended], 12 * SECOND)
    assert not ledger.balances
    assert (ledger.unbalanced, ledger.off_by) == (("b",), 5)


def test_a_killed_incarnation_is_bounded_by_its_peak_rate_until_it_was_missed_plus_its_buffer():
    killed = incarnation(
        batch(0, 100, 100, sent_s=10),
        batch(1, 50, 150, sent_s=10.5),
        batch(2, 10, 160, sent_s=11, buffered=7),
    )
    killed.peak_rate = 100.0
    killed.lost_at_ns = 15 * SECOND
    assert killed.is_lost
    assert killed.unknown(closed_at_ns=90 * SECOND) == 100 * 4 + 7


def test_a_killed_incarnation_may_have_had_a_request_of_each_user_under_way_even_when_it_was_missed_at_once():
    killed = incarnation(batch(0, 0, 0, sent_s=10, users=4), batch(1, 50, 50, sent_s=11, users=20))
    killed.lost_at_ns = 11 * SECOND
    assert killed.unknown(closed_at_ns=11 * SECOND) == 20


def test_the_peak_rate_is_the_highest_between_two_batches():
    busy = incarnation(batch(0, 0, 0, sent_s=10), batch(1, 50, 50, sent_s=10.5), batch(2, 10, 60, sent_s=11))
    assert busy.peak_rate == pytest.approx(100)


def test_the_peak_rate_counts_dropped_samples_too():
    full = incarnation(batch(0, 0, 0, sent_s=10), batch(1, 50, 250, dropped=200, sent_s=11))
    assert full.peak_rate == pytest.approx(250)


def test_a_silent_incarnation_that_nobody_missed_is_bounded_until_the_run_closed():
    silent = incarnation(batch(0, 0, 0, sent_s=10), batch(1, 50, 50, sent_s=10.5))
    assert silent.is_live
    assert silent.unknown(closed_at_ns=12 * SECOND + SECOND // 2) == 200


def test_what_a_killed_incarnation_counted_but_never_sent_is_unknown_and_not_unbalanced():
    killed = incarnation(batch(0, 5, 5, sent_s=10), batch(2, 5, 15, sent_s=11))
    killed.lost_at_ns = 11 * SECOND
    ledger = ledger_of([killed], 20 * SECOND)
    assert (ledger.unknown, ledger.balances) == (5, True)


def test_a_missed_worker_that_sends_again_is_alive_again():
    slow = incarnation(batch(0, 5, 5, sent_s=10))
    slow.lost_at_ns = 15 * SECOND
    slow.apply(batch(1, 5, 10, sent_s=16))
    assert slow.is_live


def test_final_after_the_master_missed_a_worker_makes_it_exact():
    late = incarnation(batch(0, 5, 5, sent_s=10))
    late.lost_at_ns = 15 * SECOND
    late.apply(batch(1, 5, 10, sent_s=14, final=True))
    assert not late.is_lost
    assert late.unknown(99 * SECOND) == 0
