"""PointStream: a pure fold from journal entries to line protocol, compared with what raw samples say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.archive import run_state
from loadstone.archive.journal.entry import decode_entry
from loadstone.archive.run_state import RunState
from loadstone.domain.arrival_counts import NO_ARRIVALS, ArrivalCounts
from loadstone.domain.batch import NO_INTENT
from loadstone.domain.event import EventKind
from loadstone.domain.request_name import NameTable
from loadstone.domain.usage_tick import Usage
from loadstone.influx.point_stream import PointStream, apply_entry, replay_points
from loadstone.influx.time_buckets import TimeBuckets
from support.collecting import small_run
from support.line_protocol import PointKey, parse_line
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, samples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loadstone.archive.journal.frame import Entry

Stored = dict[PointKey, dict[str, Any]]


def folded(entries: Iterable[Entry], *, finish: bool = True) -> Stored:
    """What InfluxDB holds after a run: a later point replaces the fields of an earlier one of the same key."""
    entries = list(entries)
    points = PointStream("r")
    lines = list(itertools.chain.from_iterable(replay_points(points, entries)))
    if finish:
        lines += itertools.chain.from_iterable(points.finish(lambda: entries))
    stored: Stored = {}
    for line in lines:
        key, fields = parse_line(line.encode())
        stored.setdefault(key, {}).update(fields)
    return stored


def of(stored: Stored, measurement: str, **wanted: str) -> dict[int, dict[str, Any]]:
    """The points of a measurement with these tags, by seconds since the start of the run."""
    found = {}
    for key, fields in stored.items():
        tags = dict(key.tags)
        if key.measurement == measurement and wanted.items() <= tags.items():
            assert key.time_ns is not None
            found[(key.time_ns - START) // SECOND] = fields
    return found


def nearest_rank(values: Iterable[int], percent: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(percent / 100 * len(ordered))) - 1)] / 1000


DURATIONS = st.integers(1, 20_000_000)
NEXT_BUCKET_US = 153 * 2**16
"""The bucket that 10 s fall into ends there: between 2^23 and 2^24 us there are 128 of them, each 2^16 us wide."""


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 65), DURATIONS, st.booleans()), min_size=1, max_size=60))
def test_rollups_at_every_resolution_agree_with_the_raw_samples(given_samples: list[tuple[float, int, bool]]):
    taken = sorted(
        (Sample(end, duration, error="boom" if failed else None) for end, duration, failed in given_samples),
        key=lambda sample: sample.end_ns,
    )
    run = RunMaker().started(0).add(IncarnationMaker().batch(taken, final=True))
    stored = folded(run.stopped(66).entries)
    for res, width in (("1s", 1), ("10s", 10), ("60s", 60)):
        rollups = of(stored, "rollup", res=res)
        assert sum(fields["n"] for fields in rollups.values()) == len(taken)
        for start, fields in rollups.items():
            own = [sample for sample in taken if start <= (sample.end_ns - START) // SECOND < start + width]
            durations = [sample.duration_us for sample in own]
            assert fields["n"] == len(own)
            assert fields["err"] == sum(sample.error is not None for sample in own)
            assert fields["rt_sum"] == pytest.approx(sum(durations) / 1000)
            assert (fields["rt_min"], fields["rt_max"]) == (min(durations) / 1000, max(durations) / 1000)
            for key, percent in (("p50", 50), ("p95", 95), ("p999", 99.9)):
                assert fields[key] == pytest.approx(nearest_rank(durations, percent), rel=0.004)
            assert fields["le_10000"] == sum(duration < NEXT_BUCKET_US for duration in durations)
    total = of(stored, "rollup", res="run")[0]
    assert (total["n"], total["bytes"]) == (len(taken), 10 * len(taken))


def test_rollup_all_merges_names_and_workers_before_it_takes_percentiles():
    run = RunMaker().started(0, workers=[1, 2])
    slow, fast = [Sample(0.5, 900_000, name=("GET", "/slow"))], samples(99, 0.6, 0.9, duration_us=1000)
    run.add(IncarnationMaker(worker=1).batch(slow, final=True)).add(IncarnationMaker(worker=2).batch(fast, final=True))
    second = of(folded(run.stopped(2).entries), "rollup_all", res="1s")[0]
    assert second["n"] == 100
    assert second["p99"] == pytest.approx(1.0, rel=0.004)
    assert second["rt_max"] == 900.0


def test_under_the_open_model_rollups_have_service_times_too_and_the_slowest_are_those_of_response_times():
    first = [Sample(0.5 + at / 100, 10_000, ("GET", "/first"), late_us=at * 1000) for at in range(11)]
    later = [Sample(0.7, 10_500, ("GET", "/later"))]
    batch = IncarnationMaker().batch([*first, *later], at_s=1, final=True, arrivals=ArrivalCounts(11, 11, 0))
    stored = folded(RunMaker().started().add(batch).stopped(2).entries)
    found = of(stored, "rollup", res="1s", name="/first")[0]
    assert (found["rt_sum"], found["rt_max"], found["service_sum"], found["service_max"]) == (165, 20, 110, 10)
    assert found["service_p95"] == 10 < found["p95"]
    on_time = of(stored, "rollup", res="1s", name="/later")[0]
    assert on_time["service_p50"] == on_time["p50"] == 10.5
    total = of(stored, "rollup_all", res="run")[0]
    assert (total["service_max"], total["rt_max"]) == (10.5, 20)
    slow = sorted(fields["rt_ms"] for key, fields in stored.items() if key.measurement == "slow")
    assert slow == [*range(11, 21)]


def test_under_the_closed_model_rollups_have_no_service_times():
    stored = folded(RunMaker().started().add(IncarnationMaker().batch([Sample(1)], final=True)).stopped(2).entries)
    assert not any(name.startswith("service") for fields in stored.values() for name in fields)


def test_a_second_is_written_once_all_live_workers_are_past_it_and_not_before():
    run = RunMaker().started(0, workers=[1, 2])
    one, two = IncarnationMaker(worker=1), IncarnationMaker(worker=2)
    run.add(one.batch(samples(5, 0, 0.9), at_s=1.5)).add(two.batch(samples(5, 0.1, 0.4), at_s=0.5))
    run.add(one.batch(samples(5, 1.5, 1.9), at_s=2.5))
    assert not of(folded(run.entries, finish=False), "rollup", res="1s")
    run.add(two.batch(samples(5, 0.5, 0.9), at_s=1.5)).add(two.batch([], at_s=2.0))
    assert of(folded(run.entries, finish=False), "rollup", res="1s")[0]["n"] == 15


def test_a_worker_that_hangs_holds_the_others_back_for_five_seconds_at_most():
    run = RunMaker().started(0, workers=[1, 2]).add(IncarnationMaker(worker=2).batch(samples(1, 0, 0.1), at_s=0.2))
    busy = IncarnationMaker(worker=1)
    for second in range(9):
        run.add(busy.batch(samples(10, second, second + 0.9), at_s=second + 1))
    assert set(of(folded(run.entries, finish=False), "rollup", res="1s")) == {0, 1, 2}


@pytest.mark.parametrize("late_s", [20, 200])
def test_late_data_rewrites_its_seconds_whether_they_are_kept_or_have_to_be_computed_anew(late_s: int):
    run = RunMaker().started(0, workers=[1, 2])
    busy, late = IncarnationMaker(worker=1), IncarnationMaker(worker=2)
    held_back = late.batch(samples(7, 3, 3.9, duration_us=5000, error="HTTPError('late')"), at_s=4)
    for second in range(late_s):
        run.add(busy.batch(samples(2, second, second + 0.9), at_s=second + 1))
    run.add(busy.batch([], at_s=late_s + 1, final=True)).add(held_back).add(late.batch([], at_s=late_s + 1, final=True))
    stored = folded(run.stopped(late_s + 2).entries)
    assert of(stored, "rollup", res="1s")[3]["n"] == 9
    assert of(stored, "rollup", res="10s")[0]["n"] == 27
    assert of(stored, "rollup_all", res="60s")[-20]["n"] == (2 * min(late_s, 40) + 7)
    assert of(stored, "errors", kind="HTTPError")[3]["n"] == 7
    assert sum(fields["n"] for fields in of(stored, "rollup_aligned").values()) == 2 * late_s + 7
    assert of(stored, "rollup", res="run")[0]["n"] == 2 * late_s + 7
    assert {5.0} <= {fields["rt_ms"] for fields in of(stored, "slow").values()}


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_final_points_do_not_depend_on_the_order_in_which_batches_come(random: Any):
    run = small_run(batches=6, per_batch=3)
    batches = [entry for entry in run.entries if entry.stream_id.startswith("s-")]
    others = [entry for entry in run.entries if not entry.stream_id.startswith("s-")]
    random.shuffle(batches)
    kinds = ("rollup", "rollup_all", "rollup_aligned", "errors")

    def final(entries: list[Entry]) -> Stored:
        return {key: fields for key, fields in folded(entries).items() if key.measurement in kinds}

    counted = [
        {key: fields["n"] for key, fields in final(order).items() if fields["n"]}
        for order in (run.entries, others[:4] + batches + others[4:])
    ]
    assert counted[0] == counted[1]


def test_entries_that_come_twice_count_once():
    entries = small_run().entries
    assert folded(entries) == folded([entry for entry in entries for _ in (1, 2)])


def test_users_and_usage_of_the_target_stand_beside_the_requests_of_their_second():
    run = RunMaker().started(0)
    worker = IncarnationMaker()
    for second in range(4):
        run.event(EventKind.USERS, second + 0.2, users=10 * second, target_users=30, workers=1)
        rows = (
            Usage(service="target", container="a", cpu_cores=0.5, mem_bytes=100, mem_limit=400),
            Usage(service="target", container="b", cpu_cores=0.25 * second, mem_bytes=50),
        )
        run.usage(second + 0.3, *rows)
        run.add(worker.batch(samples(3, second, second + 0.9), at_s=second + 1))
    stored = folded(run.add(worker.batch([], at_s=5, final=True)).entries)
    second = of(stored, "rollup_all", res="1s")[2]
    assert (second["users"], second["target_users"], second["workers"], second["elapsed_s"]) == (20, 30, 1, 2.0)
    assert (second["target_cpu_cores"], second["target_mem_bytes"]) == (1.0, 150)
    container = of(stored, "container", container="a")[1]
    assert (container["mem_pct"], container["cpu_cores"]) == (25.0, 0.5)
    assert "cpu_pct" not in container


def test_seconds_without_requests_are_written_with_zero_requests():
    run = RunMaker().started(0)
    worker = IncarnationMaker()
    run.add(worker.batch(samples(3, 0, 0.5), at_s=1)).add(worker.batch([], at_s=6))
    run.add(worker.batch(samples(3, 6, 6.5), at_s=7))
    seconds = of(folded(run.entries), "rollup_all", res="1s")
    assert [seconds[second]["n"] for second in range(7)] == [3, 0, 0, 0, 0, 0, 3]


def test_aligned_rollups_of_two_runs_begin_at_the_same_moment():
    def aligned(start_s: int) -> set[int]:
        run = RunMaker().started(start_s)
        run.add(IncarnationMaker().batch(samples(30, start_s, start_s + 25), final=True))
        return set(of(folded(run.stopped(start_s + 26).entries), "rollup_aligned"))

    assert aligned(0) == aligned(37)
    assert len(aligned(0)) == 3


def test_the_ten_slowest_requests_of_each_ten_seconds_are_named():
    run = RunMaker().started(0)
    taken = [Sample(number / 10, 1000 * (number + 1), error="late" if number == 199 else None) for number in range(200)]
    stored = folded(run.add(IncarnationMaker(worker=4).batch(taken, final=True)).entries)
    slow = [fields for key, fields in stored.items() if key.measurement == "slow"]
    assert sorted(fields["rt_ms"] for fields in slow) == [*range(91, 101), *range(191, 201)]
    assert [fields["error"] for fields in slow if "error" in fields] == ["late"]


def test_errors_are_counted_by_name_and_kind():
    run = RunMaker().started(0)
    refused = samples(3, 0.1, 0.2, error="ConnectionRefusedError(111, 'no')", status=0)
    broken = samples(2, 0.3, 0.4, error="HTTPError('500 Server Error')", status=500)
    run.add(IncarnationMaker().batch(refused + broken, final=True))
    stored = folded(run.entries)
    assert of(stored, "errors", kind="ConnectionRefusedError")[0]["n"] == 3
    assert of(stored, "errors", kind="http_500")[0] == {
        "n": 2,
        "status": 500,
        "sample": "HTTPError('500 Server Error')",
    }


def test_a_batch_is_rolled_up_once_for_the_live_state_and_the_points(monkeypatch: pytest.MonkeyPatch):
    rolled_up: list[int] = []
    roll_up = run_state.roll_up

    def counting(seconds: NDArray[np.int64], *columns: Any) -> Any:
        rolled_up.append(len(seconds))
        return roll_up(seconds, *columns)

    monkeypatch.setattr(run_state, "roll_up", counting)
    state = RunState()
    points = PointStream("r", state.names)
    entries = [entry for entry in small_run(batches=4).entries for _ in (1, 2)]  # each one is delivered twice
    for entry in entries:
        apply_entry(entry.stream_id, decode_entry(entry.kind, entry.blob), state, points)
    assert rolled_up == [50] * 2 * 4
    assert sum(total.n for total in state.totals.values()) == 2 * 4 * 50
    assert {name: total.n for name, total in points.time_buckets.totals.items()} == {
        name: total.n for name, total in state.totals.items()
    }


def test_more_than_five_hundred_names_share_one_tag():
    run = RunMaker().started(0)
    taken = [Sample(number / 1000, name=("GET", f"/{number}")) for number in range(600)]
    stored = folded(run.add(IncarnationMaker().batch(taken, final=True)).entries)
    names = {dict(key.tags)["name"] for key in stored if key.measurement == "rollup"}
    assert len(names) == 501
    assert of(stored, "rollup", name="__other__", res="run")[0]["n"] == 100


def test_events_of_one_kind_at_one_moment_are_two_points():
    run = RunMaker().started(0)
    run.event(EventKind.WORKER_LOST, 1, worker=1).event(EventKind.WORKER_LOST, 1, worker=2)
    lost = [
        fields["text"] for key, fields in folded(run.entries).items() if dict(key.tags).get("kind") == "worker_lost"
    ]
    assert sorted(lost) == ["worker=1", "worker=2"]


def test_the_limits_of_objectives_are_stored_when_the_run_starts():
    run = RunMaker("r").started(0, objectives=["p95<500ms", "nonsense", "p95<1s", "failures<=1%"])
    stored = folded(run.entries)
    points = sorted((key.time_ns, fields) for key, fields in stored.items() if key.measurement == "objective")
    assert [fields for _, fields in points] == [
        {"limit": 500, "text": "p95<500ms"},
        {"limit": 1000, "text": "p95<1s"},
        {"limit": 1, "text": "failures<=1%"},
    ]
    assert len({at_ns for at_ns, _ in points}) == 3


def test_a_worker_point_a_second_carries_the_ledger():
    stored = folded(small_run(workers=1, batches=6, per_batch=10).entries)
    worker = of(stored, "worker", worker="1")
    assert [fields["produced"] for fields in worker.values()] == [fields["stored"] for fields in worker.values()]
    assert worker[max(worker)]["produced"] == 60


def test_worker_points_of_the_open_model_carry_its_arrivals_and_how_late_those_since_the_point_before_were():
    run, maker = RunMaker().started(0, workers=[1]), IncarnationMaker(worker=1)
    for half, late_us in enumerate((100, 9000, 200, 50, 300)):
        taken = samples(10, half / 2, half / 2 + 0.4, late_us=late_us)
        taken[0] = replace(taken[0], late_us=NO_INTENT)
        counts = ArrivalCounts(10 * half + 12, 10 * half + 9, 3)
        run.add(maker.batch(taken, at_s=half / 2 + 0.4, arrivals=counts, final=half == 4))
    points = list(of(folded(run.entries), "worker", worker="1").values())
    names = ("arrivals_planned", "arrivals_sent", "arrivals_not_sent")
    assert [tuple(each[name] for name in names) for each in points] == [(12, 9, 3), (32, 29, 3), (52, 49, 3)]
    assert [each["lateness_max_ms"] for each in points] == [0.1, 9.0, 0.3]
    assert [each["lateness_p99_ms"] for each in points] == pytest.approx([0.1, 9.0, 0.3], rel=0.004)


def test_worker_points_without_an_iteration_have_no_lateness_and_those_of_the_closed_model_no_arrivals():
    idle = RunMaker().started(0).add(IncarnationMaker().batch(at_s=1, arrivals=NO_ARRIVALS))
    closed = RunMaker().started(0).add(IncarnationMaker().batch(samples(3, 0, 1)))
    (waits,), (asks,) = (of(folded(run.entries), "worker").values() for run in (idle, closed))
    assert waits["arrivals_planned"] == 0
    assert not {name for name in waits if name.startswith("lateness")}
    assert not {name for name in asks if name.startswith(("arrivals", "lateness"))}


def test_memory_is_bounded_by_the_buckets_kept_not_by_the_length_of_the_run():
    points, worker, most = PointStream("r"), IncarnationMaker(), 0
    run = RunMaker().started(0)
    for second in range(600):
        run.add(worker.batch(samples(2, second, second + 0.5), at_s=second + 1))
    for _ in replay_points(points, run.entries):
        most = max(most, len(points.time_buckets))
    assert most <= 60 + 12 + 3 + 12 + 4
    assert len(TimeBuckets(NameTable())) == 0


def test_requests_that_differ_in_nothing_but_their_error_can_both_be_among_the_slowest():
    from loadstone.influx.encode import Slow
    from loadstone.influx.time_buckets import Bucket

    bucket = Bucket()
    for error in (None, "timeout", None):
        bucket.add_slow(Slow(duration_us=5, end_ns=1, worker=0, name=0, status=0, error=error))
    assert sorted(str(slow.error) for slow in bucket.slow) == ["None", "None", "timeout"]
