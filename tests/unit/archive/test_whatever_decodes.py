"""Whatever is decoded can be applied to the state of a run: what cannot be is refused before it is journalled."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.archive.events_file import event_line
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.journal.frame import EntryKind
from loadstone.archive.run_state import RunState
from loadstone.domain.batch import COLUMNS, COLUMNS_OF, decode_batch, encode_batch
from loadstone.domain.cut import CutRequest
from loadstone.domain.event import EventKind
from loadstone.domain.limits import LAST_NS, MAX_DURATION_US
from loadstone.domain.stall import Stall
from loadstone.domain.time import iso
from loadstone.errors import FormatError
from loadstone.influx.point_stream import PointStream, apply_entry
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, samples
from support.varied_run import closed

if TYPE_CHECKING:
    from pathlib import Path

BATCH = encode_batch(IncarnationMaker().batch(samples(5, 0, 1)))
BEGINNING = RunMaker().started().add(IncarnationMaker().batch(samples(5, 0, 1))).entries
KEYS = sorted({*json.loads(BATCH[8 : 8 + struct.unpack_from("<I", BATCH, 4)[0]]), "arrivals"} - {"n"})
WIDTHS = (63, 63, 31, 63, 31)
"""Bits of the columns that are no indexes."""
AWKWARD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 2**31, 2**53, 2**63 - 1, 2**63, 10**21, 10**400])
    | st.floats()
    | st.sampled_from(["3", "", "\ud800", "\x00", [], [[]], {}, [1, None], [["GET", None]], [[[], {}]], ["x"]])
)
EVENT_KEYS = {
    "started": ("users", "warmup_s", "seed", "objectives", "target", "limits", "run_time_s", "versions", "workers"),
    "users": ("users", "target_users", "workers", "clock_offset_ms"),
    "roster": ("workers",),
    "worker_lost": ("worker", "users"),
    "stopped": ("requests", "failures"),
    "exception": ("message", "count", "worker", "node"),
    "crashed": ("part", "code"),
    "names_capped": ("limit", "names"),
    "storage_failed": ("text", "lasted_s"),
}


def batch_blob(columns: bytes | None = None, **changes: Any) -> bytes:
    (length,) = struct.unpack_from("<I", BATCH, 4)
    header = json.dumps(json.loads(BATCH[8 : 8 + length]) | {"boot": "another"} | changes).encode()
    return b"LSB1" + struct.pack("<I", len(header)) + header + (BATCH[8 + length :] if columns is None else columns)


def event_blob(kind: str, data: dict[str, Any], **changes: Any) -> bytes:
    envelope = {"run": "r", "kind": kind, "at_ns": START, "source": "master", "seq": 99, "data": data}
    return json.dumps(envelope | changes).encode()


def usage_blob(row: dict[str, Any], **changes: Any) -> bytes:
    rows = [{"service": "target", "container": "a", "cpu_cores": 1.0} | row]
    return json.dumps({"at_ns": START, "source": "psutil", "seq": 0, "rows": rows} | changes).encode()


def apply(kind: EntryKind, blob: bytes, *, near: bool = True) -> None:
    """Apply an entry that decodes to a run of its own and to one that has begun; ``near``: to their points, too."""
    try:
        content = decode_entry(kind, blob)
    except FormatError:
        return
    for before in ([], BEGINNING):
        state = RunState()
        points = PointStream("r", state.names) if near else None
        for entry in before:
            apply_entry(entry.stream_id, decode_entry(entry.kind, entry.blob), state, points)
        apply_entry("1-0", content, state, points)
        state.is_complete(START)
        state.ledger(START + SECOND)
        state.watermark_second()
        iso(state.newest_ns)
        for event in state.recent_events:
            event_line(event)
        window = state.lifecycle.window(START, START + SECOND)
        assert np.array([window.start_ns, window.end_ns], np.int64).dtype == np.int64


@given(st.dictionaries(st.sampled_from([key for key in KEYS if key != "sent_ns"]), AWKWARD, min_size=1))
def test_a_batch_with_any_header(changes: dict[str, Any]):
    apply(EntryKind.SAMPLES, batch_blob(**changes))


@given(AWKWARD | st.integers(0, 2**63))
def test_a_batch_sent_at_any_time(sent_ns: Any):
    apply(EntryKind.SAMPLES, batch_blob(sent_ns=sent_ns), near=False)


@given(st.tuples(*(st.lists(st.integers(-(2**bits), 2**bits - 1), min_size=5, max_size=5) for bits in WIDTHS)))
def test_a_batch_with_any_columns(columns: tuple[list[int], ...]):
    values = [np.array(each, dtype) for each, dtype in zip(columns, COLUMNS_OF[1].values(), strict=False)]
    ends = START + np.arange(5, dtype=np.int64)
    rest = b"".join(each.tobytes() for each in values[1:])
    apply(EntryKind.SAMPLES, batch_blob(ends.tobytes() + rest + np.array([0] * 5 + [-1] * 5, "<i4").tobytes()))
    apply(EntryKind.SAMPLES, batch_blob(values[0].tobytes() + rest + bytes(40)), near=False)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 0, 2**38]), min_size=5, max_size=5), AWKWARD)
def test_a_batch_with_any_lateness_and_arrivals(late_us: list[int], arrivals: Any):
    (length,) = struct.unpack_from("<I", BATCH, 4)
    columns = BATCH[8 + length :] + np.array(late_us, "<i8").tobytes()
    apply(EntryKind.SAMPLES, batch_blob(columns, v=2, arrivals=arrivals))
    apply(EntryKind.SAMPLES, batch_blob(columns, v=2, arrivals=[arrivals, 0, 1]))


@pytest.mark.parametrize(
    "changes",
    [
        {"cut": [["GET", "/", START, MAX_DURATION_US + 1]]},
        {"stalls": [[START, MAX_DURATION_US + 1, 0]]},
        {"stalls": [[START, 0, MAX_DURATION_US + 1]]},
    ],
)
def test_a_batch_with_a_duration_that_64_bits_may_not_hold_is_refused(changes: dict[str, Any]):
    with pytest.raises(FormatError):
        decode_batch(batch_blob(**changes))


def test_a_run_with_the_longest_durations_at_the_latest_moment_is_closed(tmp_path: Path):
    run = RunMaker().started()
    cut = CutRequest("GET", "/", LAST_NS, MAX_DURATION_US)
    stall = Stall(LAST_NS, MAX_DURATION_US, MAX_DURATION_US)
    run.add(IncarnationMaker().batch(samples(5, 0, 1), cut=(cut,), stalls=(stall,), aborted=1, final=True)).stopped(2)
    assert closed(tmp_path, run.entries).record.requests == 5


@given(st.data(), st.sampled_from(sorted(EVENT_KEYS)))
def test_an_event_with_any_data(data: st.DataObject, kind: str):
    changes = data.draw(st.dictionaries(st.sampled_from(EVENT_KEYS[kind]), AWKWARD, min_size=1))
    apply(EntryKind.EVENTS, event_blob(kind, changes))


@given(st.sampled_from([kind.value for kind in EventKind]), AWKWARD | st.integers(0, 2**63), AWKWARD)
def test_an_event_at_any_time(kind: str, at_ns: Any, seq: Any):
    apply(EntryKind.EVENTS, event_blob(kind, {}, at_ns=at_ns, seq=seq), near=False)


@given(st.dictionaries(st.sampled_from(["cpu_cores", "cpu_limit", "mem_bytes", "mem_limit", "oom"]), AWKWARD), AWKWARD)
def test_a_usage_tick_with_any_figures(row: dict[str, Any], seq: Any):
    apply(EntryKind.USAGE, usage_blob(row, seq=seq))


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": None},
        {"seq": -1},
        {"users": "3"},
        {"sent_ns": None},
        {"sent_ns": 10**21},
        {"sent_ns": -1},
        {"produced": 10**400},
        {"cpu_pct": float("nan")},
        {"boot": None},
        {"worker": 2**40},
        {"final": "yes"},
        {"loop_lag_us": [None]},
        {"n": -5},
        {"n": "5"},
    ],
    ids=str,
)
def test_a_batch_with_a_value_of_the_wrong_kind_is_refused(changes: dict[str, Any]):
    with pytest.raises(FormatError, match="batch header or columns are damaged"):
        decode_batch(batch_blob(**changes))


def test_a_batch_of_a_later_version_is_refused_for_its_version_whatever_it_holds():
    with pytest.raises(FormatError, match="format version 3; this version reads 1 and 2"):
        decode_batch(batch_blob(v=3, seq="a new kind of number"))


def test_names_that_are_no_texts_cost_no_batch():
    names = decode_batch(batch_blob(names=[["GET", None], [7, "/"]])).names
    assert names == (("GET", "None"), ("7", "/"))


@pytest.mark.parametrize("end_ns", [-1, 9_214_646_400 * SECOND])
def test_a_request_outside_the_years_1970_to_2261_is_refused(end_ns: int):
    ends = np.array([START, START + 1, START + 2, START + 3, end_ns], COLUMNS["end_ns"])
    (length,) = struct.unpack_from("<I", BATCH, 4)
    columns = ends.tobytes() + BATCH[8 + length + ends.nbytes :]
    with pytest.raises(FormatError, match="before 1970 or after 2261"):
        decode_batch(batch_blob(columns))


@pytest.mark.parametrize("at_ns", [-1, 10**21, 9_214_646_400 * SECOND])
def test_events_and_usage_outside_the_years_1970_to_2261_are_refused(at_ns: int):
    for kind, blob in (
        (EntryKind.EVENTS, event_blob("users", {}, at_ns=at_ns)),
        (EntryKind.USAGE, usage_blob({}, at_ns=at_ns)),
    ):
        with pytest.raises(FormatError, match="at_ns"):
            decode_entry(kind, blob)


@pytest.mark.parametrize("depth", [60, 5000])
def test_an_event_that_is_nested_too_deeply_is_refused(depth: int):
    target = '{"a":' * depth + "1" + "}" * depth
    blob = event_blob("started", {"target": {"x": "HERE"}}).replace(b'"HERE"', target.encode())
    with pytest.raises(FormatError, match="not an event"):
        decode_entry(EntryKind.EVENTS, blob)
