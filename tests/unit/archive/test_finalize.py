"""Closing a run: everything in its folder follows from its journal, and agrees with the raw rows."""

import json
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstone.archive.finalize import second_pass
from loadstone.archive.finalize.blocks import blocks
from loadstone.archive.finalize.closing import close_run
from loadstone.archive.run_json import read_record
from loadstone.domain.event import EventKind
from loadstone.domain.histogram import Histogram
from loadstone.domain.request_name import RequestName
from support.archive_reader import csv_rows, file_bytes, raw_figures, rows
from support.run_maker import SECOND, IncarnationMaker, RunMaker, Sample, samples
from support.varied_run import NAMES, at, closed, document_of, varied, varied_run

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/reference/run.schema.json").read_text())


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return closed(tmp_path_factory.mktemp("results"), varied_run().entries)


@pytest.fixture(scope="module")
def raw(result):
    return rows(result.folder.requests)


def agree(figures, expected):
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, rel=0.004 if name.startswith("p") else 1e-12), name


def test_every_sample_is_a_row_in_the_order_of_the_journal(tmp_path):
    incarnation, taken = IncarnationMaker(7), varied(300, 0, 5, seed=1)
    found = rows(closed(tmp_path, [*RunMaker().add(incarnation.batch(taken, final=True)).entries]).folder.requests)
    assert found == [
        {
            "start": sample.end_ns - sample.duration_us * 1000,
            "end": sample.end_ns,
            "rt_us": sample.duration_us,
            "ttfb_us": None if sample.ttfb_us < 0 else sample.ttfb_us,
            "method": sample.name[0],
            "name": RequestName.cleaned(*sample.name).name,
            "ok": sample.error is None,
            "status": sample.status or None,
            "error": sample.error,
            "bytes": sample.bytes,
            "worker": 7,
            "boot": "boot-7",
        }
        for sample in taken
    ]


def test_all_totals_are_the_same_number(result, raw):
    document = document_of(result)
    (aggregated,) = [row for row in csv_rows(result.folder.stats_csv) if row["Name"] == "Aggregated"]
    rolled = rows(result.folder.rollups)
    assert len(raw) == 8 * 60 * 3 - 3 * 60
    assert {
        document["requests"],
        document["ledgers"]["archive"]["stored"],
        document["ledgers"]["archive"]["produced"],
        document["locust"]["requests"],
        int(aggregated["Request Count"]),
        sum(row["n"] for row in rolled),
    } == {len(raw)}
    failed = sum(not row["ok"] for row in raw)
    assert {
        document["failures"],
        int(aggregated["Failure Count"]),
        sum(row["err"] for row in rolled),
        sum(int(row["Occurrences"]) for row in csv_rows(result.folder.failures_csv)),
    } == {failed}


def test_mean_percentiles_and_failures_of_the_run_agree_with_the_raw_rows(result, raw):
    part = document_of(result)["summary"]["run"]
    agree(part["total"], raw_figures(raw))
    assert [(one["method"], one["name"]) for one in part["names"]] == sorted(
        RequestName.cleaned(*name) for name in NAMES
    )
    for one in part["names"]:
        agree(one, raw_figures([row for row in raw if (row["method"], row["name"]) == (one["method"], one["name"])]))


def test_the_window_holds_exactly_the_requests_that_ended_in_it(result, raw):
    window, part = document_of(result)["window"], document_of(result)["summary"]["window"]
    assert (window["start_ns"], window["end_ns"], window["opened"]) == (at(2), at(8), True)
    agree(part["total"], raw_figures([row for row in raw if at(2) <= row["end"] < at(8)]))
    assert part["total"]["rps"] == pytest.approx(part["total"]["requests"] / 6)


@pytest.mark.parametrize(("start_s", "end_s"), [(1.25, 3.75), (2.3, 2.4), (0, 4), (3.0000001, 4)])
def test_a_window_that_cuts_a_second_counts_to_the_nanosecond(tmp_path, start_s, end_s):
    run = RunMaker().event(EventKind.RAMP_DONE, start_s).event(EventKind.STOPPING, end_s)
    run.add(IncarnationMaker().batch(samples(1000, 0, 5), final=True))
    result = closed(tmp_path, run.entries)
    inside = [row for row in rows(result.folder.requests) if at(start_s) <= row["end"] < at(end_s)]
    assert document_of(result)["summary"]["window"]["total"]["requests"] == len(inside) > 0


def test_rollups_are_the_seconds_of_the_raw_rows_in_ascending_order(result, raw):
    expected = {}
    for row in raw:
        expected.setdefault((row["end"] // SECOND * 1000, row["method"], row["name"]), []).append(row)
    found = rows(result.folder.rollups)
    assert [(row["second"], row["method"], row["name"]) for row in found] == sorted(expected)
    for row, group in zip(found, (expected[key] for key in sorted(expected)), strict=True):
        durations = np.array([one["rt_us"] for one in group], np.int64)
        histogram = Histogram.of(durations)
        assert dict(zip(row["bucket"], row["bucket_n"], strict=True)) == histogram.counts
        assert (row["n"], row["err"]) == (len(group), sum(not one["ok"] for one in group))
        assert (row["rt_sum_us"], row["rt_min_us"], row["rt_max_us"]) == (
            durations.sum(),
            durations.min(),
            durations.max(),
        )
        assert row["bytes"] == sum(one["bytes"] for one in group)
        assert row["p95_us"] == pytest.approx(np.percentile(durations, 95, method="inverted_cdf"), rel=0.004)


@pytest.mark.parametrize("block_rows", [1, 50, 777])
def test_the_size_of_blocks_changes_nothing_but_row_groups(tmp_path, monkeypatch, result, block_rows):
    monkeypatch.setattr(second_pass, "blocks", partial(blocks, rows=block_rows))
    small = closed(tmp_path, varied_run().entries)
    assert rows(small.folder.requests) == rows(result.folder.requests)
    assert rows(small.folder.rollups) == rows(result.folder.rollups)
    documents = [document_of(each) for each in (small, result)]
    for document in documents:
        del document["files"]["requests.parquet"], document["digest"]
    assert documents[0] == documents[1]
    assert small.folder.stats_history_csv.read_bytes() == result.folder.stats_history_csv.read_bytes()


@settings(max_examples=20)
@given(st.randoms(), st.integers(1, 200))
def test_whatever_the_order_and_however_often_batches_come_the_rollups_are_the_same(
    tmp_path_factory, random, block_rows
):
    entries = varied_run(seconds=3, per_second=8).entries
    shuffled = entries + random.sample(entries, 10)
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second_pass, "blocks", partial(blocks, rows=block_rows))
        one = closed(tmp_path_factory.mktemp("a"), entries)
        other = closed(tmp_path_factory.mktemp("b"), shuffled)
    assert rows(one.folder.rollups) == rows(other.folder.rollups)
    assert document_of(one)["summary"] == document_of(other)["summary"]
    assert document_of(one)["ledgers"] == document_of(other)["ledgers"]
    assert document_of(other)["requests"] == len(rows(other.folder.requests))


def test_closing_again_gives_the_same_bytes(tmp_path):
    first = closed(tmp_path, varied_run().entries)
    before = file_bytes(first.folder)
    again = close_run(first.folder, now_ns=at(99_999))
    assert file_bytes(first.folder) == before
    assert again.record == first.record
    assert again.verdict == first.verdict


def test_run_json_keeps_its_schema(result):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document_of(result), SCHEMA)
    assert read_record(result.folder) == result.record


def test_run_json_says_what_was_run(result):
    document = document_of(result)
    assert (document["id"], document["host"], document["users"], document["seed"]) == (
        "20260922-000000-abcd",
        "http://target",
        10,
        4,
    )
    assert (document["started_at"], document["ended_at"]) == (
        "2026-09-21T14:13:20.000000Z",
        "2026-09-21T14:13:28.000000Z",
    )
    assert document["users_peak"] == 8
    assert (document["verdict"], document["exit_code"]) == ("pass", 0)
    assert document["objectives"][0]["text"] == "p95<10s"


def test_secrets_are_nowhere_but_in_the_journal(tmp_path):
    secret = "5ecret"
    run = RunMaker().started(host=f"http://me:{secret}@host")
    run.event(EventKind.EXCEPTION, 1, message=f"http://me:{secret}@host", traceback="", count=1, node="a")
    sample = Sample(1, name=("GET", f"/a?token={secret}&b=1"), error=f"no http://u:{secret}@host")
    run.add(IncarnationMaker().batch([sample], final=True))
    result = closed(tmp_path, run.stopped(2).entries)
    assert all(secret.encode() not in data for data in file_bytes(result.folder).values())
    assert rows(result.folder.requests)[0]["name"] == "/a?token=***&b=1"


def test_usage_of_the_window_is_summed_up_and_every_tick_is_kept(result):
    usage = document_of(result)["usage"]["target"]
    assert (usage["ticks"], usage["cpu_cores_max"], usage["cpu_limit"], usage["mem_bytes"]) == (6, 1.75, 2.0, 7)
    assert usage["cpu_cores"] == pytest.approx(sum(range(2, 8)) / 4 / 6)
    kept = rows(result.folder.usage)
    assert [row["at"] for row in kept] == [at(second) for second in range(8)]
    assert kept[3]["cpu_cores"] == 0.75
    assert kept[0]["throttled_pct"] is None


def test_events_are_lines_of_json_each_once(tmp_path):
    run = varied_run(seconds=2)
    result = closed(tmp_path, run.entries + run.entries)
    lines = [json.loads(line) for line in result.folder.events.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(run.events))
    assert lines[0] == {
        "at": "2026-09-21T14:13:20.000000Z",
        "at_ns": at(0),
        "kind": "started",
        "source": "master",
        "seq": 0,
        "data": json.loads(json.dumps(lines[0]["data"])),
    }
    assert lines[-1]["kind"] == "stopped"


def test_more_names_than_the_limit_are_rolled_up_together_and_kept_apart_in_the_raw_rows(tmp_path):
    taken = [Sample(1 + number / 1000, name=("GET", f"/{number}")) for number in range(600)]
    result = closed(tmp_path, RunMaker().started().add(IncarnationMaker().batch(taken, final=True)).stopped(2).entries)
    assert len({row["name"] for row in rows(result.folder.requests)}) == 600
    rolled = rows(result.folder.rollups)
    assert (len(rolled), max(rolled, key=lambda row: row["n"])["name"]) == (501, "__other__")
    assert "__other__" in document_of(result)["notices"][0]
