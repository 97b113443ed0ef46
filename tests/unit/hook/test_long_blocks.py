"""What a worker recorded while its event loop stood still for long is all sent, in batches that can be decoded."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.domain.batch import COLUMNS, decode_batch, encode_batch
from loadstone.domain.batch_parts import parts_of
from loadstone.domain.limits import MOST_SECONDS
from loadstone.domain.time import NS_PER_S
from loadstone.hook import shipper as shipper_module
from loadstone.hook.recorder import Recorder
from loadstone.hook.shipper import Shipper
from loadstone.stream.proof import RunSecret
from support.run_maker import IncarnationMaker, samples

if TYPE_CHECKING:
    from loadstone.domain.batch import Batch


class KeptSender:
    """A double of the sender, which keeps what it should send; ``room`` is how many blobs it has room for."""

    def __init__(self, *_: object) -> None:
        self.blobs: list[bytes] = []
        self.samples = 0
        self.room = 1000
        self.outbox = self

    def fits(self, _size: int) -> bool:
        return len(self.blobs) < self.room

    def put(self, blob: bytes, _n: int) -> None:
        self.blobs.append(blob)

    def clock_offset_ms(self, _now: object) -> None: ...

    def finish(self, _timeout_s: float) -> bool:
        return True

    @property
    def batches(self) -> list[Batch]:
        return [decode_batch(blob) for blob in self.blobs]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock, ns; a test turns it by hand."""
    now = [time.perf_counter_ns()]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now[0])
    return now


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> KeptSender:
    kept = KeptSender()
    monkeypatch.setattr(shipper_module, "Sender", lambda *_: kept)
    return kept


def record(recorder: Recorder, name: str, seconds: float = 0.5, error: Exception | None = None) -> None:
    recorder.record("GET", name, seconds * 1000, 10, None, error)


def shipped(recorder: Recorder) -> None:
    Shipper(recorder, "redis://127.0.0.1:1", RunSecret.new("r"), 1, lambda: 1).finish(0)


def test_a_client_that_blocks_the_event_loop_for_an_hour_loses_no_request(ticking: list[int], sender: KeptSender):
    recorder = Recorder()
    for number in range(3600):
        ticking[0] += NS_PER_S
        record(recorder, f"/{number}", error=ValueError(f"no {number}") if number % 7 == 0 else None)
    shipped(recorder)
    batches = sender.batches
    assert [batch.seq for batch in batches] == list(range(len(batches)))
    assert [batch.final for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert [batch.produced for batch in batches] == np.cumsum([len(batch.columns) for batch in batches]).tolist()
    names = [batch.names[index].name for batch in batches for index in batch.columns.name]
    assert names == [f"/{number}" for number in range(3600)]
    failed = [batch.errors[index] for batch in batches for index in batch.columns.error if index >= 0]
    assert failed == [f"ValueError('no {number}')" for number in range(0, 3600, 7)]
    assert (np.diff(np.concatenate([batch.columns.end_ns for batch in batches])) > 0).all()


def test_requests_that_began_over_an_hour_apart_and_end_together_are_one_batch(ticking: list[int], sender: KeptSender):
    recorder = Recorder()
    ticking[0] += 7200 * NS_PER_S
    for number in range(7200):
        record(recorder, "/long", seconds=number)
    shipped(recorder)
    (batch,) = sender.batches
    assert batch.columns.duration_us.max() == 7199 * 1_000_000


def test_what_the_buffer_has_no_room_for_is_counted_part_by_part(ticking: list[int], sender: KeptSender):
    recorder = Recorder()
    for _ in range(4 * MOST_SECONDS):
        ticking[0] += NS_PER_S
        record(recorder, "/")
    sender.room = 2
    worker = Shipper(recorder, "redis://127.0.0.1:1", RunSecret.new("r"), 1, lambda: 1)
    worker._ship(final=False)
    sender.room = 1000
    worker.finish(0)
    *first, last = sender.batches
    kept = sum(len(batch.columns) for batch in first)
    assert 0 < kept < 4 * MOST_SECONDS
    assert (last.seq, last.final) == (2, True)
    assert (last.produced, last.dropped) == (4 * MOST_SECONDS, 4 * MOST_SECONDS - kept)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=60),
    st.integers(100, 4000),
)
@settings(max_examples=50)
def test_parts_hold_what_the_batch_held(rows: list[tuple[int, int, int]], most_bytes: int):
    whole = IncarnationMaker(1).batch(samples(len(rows), 0, 1))
    columns = replace(
        whole.columns,
        end_ns=np.cumsum([after * 100 * NS_PER_S + 1 for after, _, _ in rows]) + whole.columns.end_ns[0],
        error=np.array([error for _, error, _ in rows], np.int32),
        name=np.array([name for _, _, name in rows], np.int32),
        late_us=np.array([after - 1 for after, _, _ in rows], np.int64),
    )
    named = tuple(replace_name(whole, number) for number in range(5))
    whole = replace(
        whole, columns=columns, names=named, errors=tuple("e" * n for n in range(5)), loop_lag_us=(1, 2), final=True
    )
    parts = [decode_batch(encode_batch(part)) for part in parts_of(whole, most_bytes)]
    assert [lag for part in parts for lag in part.loop_lag_us] == [1, 2]
    assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
    for column in COLUMNS:
        if column not in {"name", "error"}:
            together = np.concatenate([getattr(part.columns, column) for part in parts])
            assert together.tolist() == getattr(columns, column).tolist()
    assert [part.names[at] for part in parts for at in part.columns.name] == [named[name] for _, _, name in rows]
    told = [part.errors[at] if at >= 0 else None for part in parts for at in part.columns.error]
    assert told == ["e" * error if error >= 0 else None for _, error, _ in rows]


def replace_name(batch: Batch, number: int) -> object:
    return type(batch.names[0])("GET", f"/{number}")


def test_a_batch_that_fits_is_left_as_it_is():
    batch = IncarnationMaker(1).batch(samples(1000, 0, 1))
    assert list(parts_of(batch)) == [batch]
    (part,) = parts_of(batch)
    assert part is batch
