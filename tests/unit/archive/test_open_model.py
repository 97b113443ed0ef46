"""A run of the open model has two durations in every file; one of the closed model has the files that it always had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loadstone.archive.figure_notes import arrivals_text
from loadstone.archive.finalize.tables import OPEN_REQUESTS, OPEN_ROLLUPS, REQUESTS, ROLLUPS
from loadstone.domain.arrival_counts import ArrivalCounts
from loadstone.domain.batch import NO_INTENT
from loadstone.domain.stall import Stall
from support.archive_reader import csv_rows, raw_figures, rows, table
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample
from support.varied_run import closed

if TYPE_CHECKING:
    from pathlib import Path

    from loadstone.archive.finalize.closing import RunResult

LATE_MS = (0, 1, 4, 30)
"""Lateness of the first requests of iterations, by turns; every fourth request is not a first one."""


def taken() -> list[Sample]:
    """Requests of ten seconds, 100 a second, 5 to 24 ms of service; two of them have no duration."""
    found = []
    for at in range(1000):
        late_us = NO_INTENT if at % 5 == 4 else LATE_MS[at % 5] * 1000
        duration_us = -1 if at in {50, 51} else (5 + at % 20) * 1000
        found.append(Sample(at / 100 + 0.001, duration_us, ("GET", f"/{at % 2}"), late_us=late_us))
    return found


def open_run(*, stalls: tuple[Stall, ...] = (), objectives: tuple[str, ...] = ()) -> RunMaker:
    run, worker = RunMaker().started(objectives=list(objectives)), IncarnationMaker()
    samples = taken()
    for second in range(10):
        sent = (second + 1) * 80
        run.add(
            worker.batch(
                samples[second * 100 : (second + 1) * 100],
                at_s=second + 0.999,
                arrivals=ArrivalCounts(sent + second, sent, second),
                stalls=stalls if second == 9 else (),
            )
        )
    counts = ArrivalCounts(809, 800, 9)
    return run.stopped(10).add(worker.batch(at_s=10.1, final=True, arrivals=counts))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return closed(tmp_path_factory.mktemp("results"), open_run().entries)


@pytest.fixture(scope="module")
def raw(result: RunResult) -> list[dict[str, Any]]:
    return rows(result.folder.requests)


def agree(figures: Any, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        if hasattr(figures, name):
            assert getattr(figures, name) == pytest.approx(value, rel=0.004 if name.startswith("p") else 1e-12), name


def by_service(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"rt_us": row["service_us"]} for row in raw]


def timed(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in raw if row["rt_us"] is not None]


def test_a_request_has_both_durations_and_starts_when_it_was_sent(raw: list[dict[str, Any]]):
    for row, sample in zip(raw, taken(), strict=True):
        known = sample.duration_us >= 0
        assert row["service_us"] == (sample.duration_us if known else None)
        assert row["late_us"] == (None if sample.late_us == NO_INTENT else sample.late_us)
        assert row["rt_us"] == (sample.duration_us + max(0, sample.late_us) if known else None)
        assert row["start"] == sample.end_ns - max(0, sample.duration_us) * 1000


def test_the_columns_of_the_open_model_follow_those_of_the_closed_one(result: RunResult, tmp_path: Path):
    assert table(result.folder.requests).schema.names == OPEN_REQUESTS.names
    assert table(result.folder.rollups).schema.names == OPEN_ROLLUPS.names
    plain = RunMaker().started().add(IncarnationMaker().batch([Sample(1)], final=True)).stopped(2)
    folder = closed(tmp_path, plain.entries).folder
    assert table(folder.requests).schema.names == REQUESTS.names
    assert table(folder.rollups).schema.names == ROLLUPS.names
    assert not any(
        "Service" in column for column in (*csv_rows(folder.stats_csv)[0], *csv_rows(folder.stats_history_csv)[0])
    )


def test_rollups_have_sums_and_histograms_of_both(result: RunResult, raw: list[dict[str, Any]]):
    found = rows(result.folder.rollups)
    for kind, column in (("rt", "rt_us"), ("service", "service_us")):
        values = [row[column] for row in timed(raw)]
        assert sum(row[f"{kind}_sum_us"] for row in found) == sum(values)
        assert max(row[f"{kind}_max_us"] for row in found) == max(values)
    assert all(sum(row["bucket_n"]) == sum(row["service_bucket_n"]) for row in found)
    assert any(row["service_p99_us"] < row["p99_us"] for row in found)


def test_the_record_has_figures_of_both(result: RunResult, raw: list[dict[str, Any]]):
    for part, of in ((result.record.summary.run, raw), (result.record.summary.window, raw)):
        agree(part.total, raw_figures(timed(of)) | {"requests": 1000, "bytes": 10_000})
        agree(part.total.service, raw_figures(timed(by_service(of))))
        for figures in part.names:
            mine = [row for row in timed(of) if row["name"] == figures.name]
            agree(figures.service, raw_figures(by_service(mine)))


def test_the_record_says_what_became_of_the_arrivals(result: RunResult):
    for part in (result.record.summary.run, result.record.summary.window):
        assert part.arrivals is not None
        assert (part.arrivals.planned, part.arrivals.sent, part.arrivals.not_sent) == (809, 800, 9)
        assert part.arrivals.lateness_max_ms == 30
        assert part.arrivals.lateness_p99_ms == pytest.approx(30, rel=0.004)


def test_a_run_of_the_closed_model_has_neither(tmp_path: Path):
    run = RunMaker().started().add(IncarnationMaker().batch([Sample(1)], final=True)).stopped(2)
    part = closed(tmp_path, run.entries).record.summary.run
    assert (part.arrivals, part.total.service) == (None, None)


def test_a_run_that_only_counts_arrivals_is_one_of_the_open_model(tmp_path: Path):
    batch = IncarnationMaker().batch([Sample(1)], at_s=1.5, arrivals=ArrivalCounts(5, 1, 4), final=True)
    part = closed(tmp_path, RunMaker().started().add(batch).stopped(2).entries).record.summary.window
    assert part.arrivals is not None
    assert (part.arrivals.not_sent, part.arrivals.lateness_p99_ms) == (4, None)
    assert part.total.service is not None
    assert part.total.service.p95_ms == part.total.p95_ms


def test_arrivals_that_were_cut_off_are_told_so_that_the_counts_add_up(tmp_path: Path):
    counts = ArrivalCounts(9, 1, 4, cut_off=4)
    batch = IncarnationMaker().batch([Sample(1)], at_s=1.5, arrivals=counts, final=True)
    run = closed(tmp_path, RunMaker().started(0).add(batch).stopped(2, requests=1).entries).record
    assert "9 planned, 1 sent, 4 not sent, 4 cut off;" in arrivals_text(run)


def test_the_csv_files_have_service_times_in_columns_of_their_own(result: RunResult, raw: list[dict[str, Any]]):
    total = csv_rows(result.folder.stats_csv)[-1]
    last = csv_rows(result.folder.stats_history_csv)[-1]
    service, response = (np.array([row[name] for row in timed(raw)]) for name in ("service_us", "rt_us"))
    for prefix, row in (("", total), ("Total ", last)):
        assert float(row[f"{prefix}Average Service Time"]) == pytest.approx(service.mean() / 1000)
        assert float(row[f"{prefix}Average Response Time"]) == pytest.approx(response.mean() / 1000)
        assert float(row[f"{prefix}Max Service Time"]) == service.max() / 1000
        assert float(row[f"{prefix}Min Service Time"]) == service.min() / 1000
    assert (total["Service 100%"], total["100%"]) == ("24", str(round(response.max() / 1000)))
    assert last["Service 100%"] == "24"


def test_lateness_counts_in_the_window_for_requests_that_were_in_flight_in_it(tmp_path: Path):
    run = RunMaker()
    run.started()
    late = [Sample(end_s, 100_000, late_us=late_us) for end_s, late_us in ((5, 3000), (10.05, 7000), (10.5, 99_000))]
    run.stopped(10, requests=3).add(IncarnationMaker().batch(late, at_s=10.6, final=True))
    summary = closed(tmp_path, run.entries).record.summary
    assert summary.window.arrivals is not None
    assert summary.run.arrivals is not None
    assert (summary.window.arrivals.lateness_max_ms, summary.run.arrivals.lateness_max_ms) == (7, 99)


def test_without_stalls_a_late_request_is_as_much_shorter_as_its_worker_stood_still_since_it_was_due(tmp_path: Path):
    """Sent 0.1 s after a stall of 0.5 s ended, and due in the middle of it: 0.25 s of its lateness are the stall's."""
    worker = IncarnationMaker()
    samples = [Sample(1 + at / 100, 10_000, late_us=0) for at in range(100)]
    samples.append(Sample(5, 100_000, late_us=350_000))
    stall = Stall(START + round(4.8 * SECOND), 500_000, 0)
    for limit, word in (("210ms", "inconclusive"), ("190ms", "inconclusive"), ("90ms", "fail")):
        worker = IncarnationMaker(incarnation=limit)
        run = RunMaker().started(objectives=[f"max<{limit}"])
        run.add(worker.batch(samples, at_s=6, stalls=(stall,), arrivals=ArrivalCounts(101, 101, 0)))
        run.stopped(10).add(worker.batch(at_s=10.1, final=True, arrivals=ArrivalCounts(101, 101, 0)))
        verdict = closed(tmp_path / limit, run.entries).verdict
        stalled = any("could have held" in reason and "stood still" in reason for reason in verdict.reasons)
        assert (verdict.word, stalled) == (word, limit == "210ms"), verdict.reasons


def test_objectives_judge_the_time_that_they_name(tmp_path: Path):
    texts = ("max<30ms", "service.max<30ms")
    verdict = closed(tmp_path, open_run(objectives=texts).entries).verdict
    assert [result.ok for result in verdict.objectives] == [False, True]
    assert verdict.objectives[0].reason == "response time max is 53 ms, must be < 30 ms"
    assert verdict.word == "inconclusive", "the response times are too long because of lateness alone"


def test_every_row_of_the_rollups_is_what_numpy_counts(result: RunResult, raw: list[dict[str, Any]]):
    """Sums and extremes exactly, percentiles by the nearest rank and within the error of the histogram."""
    percents = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
    for found in rows(result.folder.rollups):
        mine = [row for row in timed(raw) if (row["end"] // SECOND, row["name"]) == (_second(found), found["name"])]
        for kind, prefix, column in (("rt", "", "rt_us"), ("service", "service_", "service_us")):
            values = np.array([row[column] for row in mine])
            sums = [found[f"{kind}_{figure}_us"] for figure in ("sum", "min", "max")]
            assert sums == [values.sum(), values.min(), values.max()]
            for name, percent in percents.items():
                expected = np.percentile(values, percent, method="inverted_cdf")
                assert found[f"{prefix}{name}_us"] == pytest.approx(expected, rel=0.004)
            assert sum(found[f"{prefix}bucket_n"]) == len(values)


def _second(row: dict[str, Any]) -> int:
    return int(row["second"]) // 1000


def test_the_record_says_which_rate_was_asked_for(tmp_path: Path):
    batch = IncarnationMaker().batch([Sample(1)], at_s=1.5, final=True)
    made = RunMaker().started(rate=["100/s for 1m", "200/s"], arrivals="poisson").add(batch).stopped(2)
    record = closed(tmp_path / "open", made.entries).record
    assert (record.rate, record.arrivals_spread) == (("100/s for 1m", "200/s"), "poisson")
    assert record.summary.run.total.service is not None
    plain = closed(tmp_path / "closed", RunMaker().started().add(batch).stopped(2).entries).record
    assert (plain.rate, plain.arrivals_spread) == ((), None)
