"""Closing runs that did not go as planned: without master, killed, torn, damaged, full."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from loadstone.archive.finalize.closing import close_run, recover_run, set_influx_ledger
from loadstone.archive.folder import RunFolder
from loadstone.archive.journal.frame import Entry, EntryKind
from loadstone.domain.event import EventKind
from loadstone.domain.stall import Stall
from loadstone.domain.time import iso
from loadstone.errors import ArchiveError
from support.archive_reader import csv_rows, file_bytes, rows
from support.full_disk import files_no_larger_than
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, samples, write_journal
from support.varied_run import at, closed, document_of, varied_run

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/reference/run.schema.json").read_text())


def test_a_run_with_no_request_at_all_is_closed_and_inconclusive(tmp_path):
    result = closed(tmp_path, RunMaker().started().stopped(5).add(IncarnationMaker().batch(at_s=5, final=True)).entries)
    jsonschema.validate(document_of(result), SCHEMA)
    assert (document_of(result)["verdict"], document_of(result)["exit_code"]) == ("inconclusive", 3)
    assert document_of(result)["reasons"] == ["no request at all in the window"]
    assert rows(result.folder.requests) == rows(result.folder.rollups) == []
    (aggregated,) = csv_rows(result.folder.stats_csv)
    assert (aggregated["Request Count"], aggregated["50%"], aggregated["Requests/s"]) == ("0", "N/A", "0.0")


def test_an_empty_journal_is_closed_too(tmp_path):
    result = closed(tmp_path, [])
    jsonschema.validate(document_of(result), SCHEMA)
    assert document_of(result)["started_at"] is None
    assert document_of(result)["verdict"] == "inconclusive"


def test_a_run_without_a_master_is_closed_as_master_lost(tmp_path):
    result = closed(tmp_path, RunMaker().add(IncarnationMaker().batch(samples(10, 3, 5))).entries)
    jsonschema.validate(document_of(result), SCHEMA)
    assert (document_of(result)["started_at"], document_of(result)["ended_at"]) == (
        "2026-09-21T14:13:22.999000Z",
        "2026-09-21T14:13:24.800000Z",
    )
    assert any("master lost" in reason for reason in document_of(result)["reasons"])
    assert document_of(result)["boots"][0]["unknown"] > 0


def test_a_killed_worker_is_listed_with_its_bound(tmp_path):
    killed, other = IncarnationMaker(0), IncarnationMaker(1)
    run = RunMaker().started(workers=[0, 1], objectives=["failures<50%"])
    for second in range(4):
        run.add(killed.batch(samples(100, second, second + 1))).add(other.batch(samples(100, second, second + 1)))
    run.event(EventKind.WORKER_LOST, 7, worker=0).event(EventKind.USERS, 8, users=5, target_users=5, workers=1)
    run.add(other.batch(samples(400, 4, 9))).stopped(9, requests=1100).add(other.batch(at_s=9.1, final=True))
    document = document_of(closed(tmp_path, run.entries))
    lost, ended = document["boots"]
    assert (lost["worker"], lost["final"], lost["produced"], lost["stored"]) == (0, False, 400, 400)
    assert lost["lost_at"] == "2026-09-21T14:13:27.000000Z"
    assert 300 <= lost["unknown"] <= 330
    assert (ended["final"], ended["unknown"]) == (True, 0)
    assert document["ledgers"]["archive"]["unknown"] == lost["unknown"]
    assert document["verdict"] == "pass"
    assert document["notices"][0] == "worker 0 was lost; all users run on other workers"


def test_a_worker_that_was_lost_before_it_sent_anything_is_bounded_by_the_fastest(tmp_path):
    incarnation = IncarnationMaker(0)
    run = (
        RunMaker()
        .started(workers=[0, 1])
        .add(incarnation.batch(samples(100, 0, 1)))
        .add(incarnation.batch(samples(100, 1, 2)))
    )
    run.event(EventKind.WORKER_LOST, 3, worker=1).stopped(4).add(incarnation.batch(at_s=4, final=True))
    document = document_of(closed(tmp_path, run.entries))
    jsonschema.validate(document, SCHEMA)
    silent = document["boots"][1]
    assert (silent["boot"], silent["worker"], silent["first_sent_at"]) == ("", 1, None)
    assert silent["unknown"] == pytest.approx(300, rel=0.05)


def test_an_incarnation_that_nobody_missed_is_not_thought_to_live_until_a_late_recovery(tmp_path):
    incarnation = IncarnationMaker(0)
    run = RunMaker().started().add(incarnation.batch(samples(100, 0, 1))).add(incarnation.batch(samples(100, 1, 2)))
    result = closed(tmp_path, run.entries, now_ns=at(86_400))
    assert document_of(result)["boots"][0]["unknown"] == pytest.approx(30 * 100, rel=0.05)


def test_a_missing_batch_of_an_ended_incarnation_makes_the_ledger_unbalanced(tmp_path):
    incarnation, run = IncarnationMaker(), RunMaker().started()
    run.add(incarnation.batch(samples(50, 0, 1)))
    incarnation.batch(samples(50, 1, 2))
    run.add(incarnation.batch(at_s=3, final=True)).stopped(3)
    document = document_of(closed(tmp_path, run.entries))
    assert not document["ledgers"]["archive"]["balances"]
    assert (document["verdict"], document["exit_code"]) == ("inconclusive", 3)


def test_an_interrupted_run_is_archived_and_says_so(tmp_path):
    run = RunMaker().started(objectives=["max<1us"]).add(IncarnationMaker().batch(samples(50, 0, 1), final=True))
    document = document_of(closed(tmp_path, run.event(EventKind.INTERRUPTED, 1).stopped(1).entries))
    assert (document["verdict"], document["exit_code"], document["reasons"][0]) == (
        "inconclusive",
        130,
        "the run was interrupted",
    )
    assert document["objectives"][0]["ok"] is False


@pytest.mark.parametrize(("exit_s", "word"), [(1, "fail"), (3, "pass")])
def test_a_target_that_ends_before_users_stop_has_crashed_under_load(tmp_path, exit_s, word):
    run = RunMaker().started().add(IncarnationMaker().batch(samples(50, 0, 1), final=True))
    run.event(EventKind.TARGET_EXITED, exit_s, code=-9).stopped(2)
    assert document_of(closed(tmp_path, run.entries))["verdict"] == word


def test_an_objective_that_cannot_be_understood_makes_the_run_inconclusive_and_does_not_stop_it_from_closing(tmp_path):
    run = (
        RunMaker().started(objectives=["p95<5", "max<9s"]).add(IncarnationMaker().batch(samples(50, 0, 1), final=True))
    )
    document = document_of(closed(tmp_path, run.stopped(1).entries))
    assert document["verdict"] == "inconclusive"
    assert "needs a unit" in document["reasons"][0]
    assert [result["text"] for result in document["objectives"]] == ["max<9s"]


def test_what_a_crash_left_behind_is_used_up(tmp_path):
    expected = file_bytes(closed(tmp_path / "a", varied_run().entries).folder)
    run = RunFolder(tmp_path / "b" / "20260922-000000-abcd").create()
    write_journal(run.journal, varied_run().entries)
    (run.path / ".requests.parquet.tmp").write_bytes(b"half")
    run.requests.write_bytes(b"old")
    recovered = recover_run(run, now_ns=at(1000))
    assert file_bytes(recovered.folder) == expected


def test_recovering_needs_no_clock_and_gives_the_same_again(tmp_path):
    run = RunFolder(tmp_path / "r").create()
    write_journal(run.journal, varied_run().entries)
    first = recover_run(run)
    assert document_of(first)["closed_at"] == "2026-09-21T14:13:28.200000Z"
    assert recover_run(run).record == first.record


def test_an_incarnation_of_a_run_that_nobody_closed_is_bounded_by_the_longest_silence(tmp_path):
    run = RunFolder(tmp_path / "r").create()
    write_journal(run.journal, RunMaker().started().add(IncarnationMaker().batch(samples(50, 0, 1))).entries)
    first = document_of(recover_run(run))
    (incarnation,) = first["boots"]
    assert incarnation["unknown"] >= 30 * incarnation["peak_rps"] > 0
    assert document_of(recover_run(run)) == first


def test_a_torn_journal_is_recovered_up_to_the_tear(tmp_path):
    run = RunFolder(tmp_path / "r").create()
    write_journal(run.journal, RunMaker().started().add(IncarnationMaker().batch(samples(50, 0, 1))).entries)
    (segment,) = run.journal.iterdir()
    data = segment.read_bytes()
    segment.write_bytes(data[:-40])  # into the batch, which was never acknowledged
    assert document_of(recover_run(run))["requests"] == 0
    segment.write_bytes(data)
    assert document_of(recover_run(run))["requests"] == 50


def test_entries_that_are_not_what_they_claim_to_be_are_counted_and_left_out(tmp_path):
    run = RunMaker().started().add(IncarnationMaker().batch(samples(50, 0, 1), final=True)).stopped(1)
    garbage = [Entry(kind, "x", b"garbage") for kind in EntryKind]
    document = document_of(closed(tmp_path, [*garbage, *run.entries]))
    assert document["requests"] == 50
    assert document["notices"][-1] == "3 journal entries could not be read"


def test_a_folder_that_is_being_written_is_not_recovered(tmp_path):
    run = RunFolder(tmp_path / "r").create()
    write_journal(run.journal, [])
    with run.lock(), pytest.raises(ArchiveError, match="being written by another process"):
        recover_run(run)


def test_there_is_nothing_to_recover_without_a_journal(tmp_path):
    with pytest.raises(ArchiveError, match="no run folder"):
        recover_run(RunFolder(tmp_path / "missing"))
    with pytest.raises(ArchiveError, match=r"no journal and no run\.json"):
        recover_run(RunFolder(tmp_path))


def test_a_run_that_was_passed_on_without_its_journal_is_only_read(tmp_path):
    first = closed(tmp_path, varied_run().entries)
    shutil.rmtree(first.folder.journal)
    before = file_bytes(first.folder)
    again = close_run(first.folder, now_ns=at(5000))
    assert (again.record, again.verdict) == (first.record, first.verdict)
    assert file_bytes(first.folder) == before


def test_a_disk_that_is_full_while_closing_says_what_to_do_and_loses_nothing(tmp_path):
    run = RunFolder(tmp_path / "r").create()
    write_journal(run.journal, varied_run().entries)
    with files_no_larger_than(3000), pytest.raises(ArchiveError, match="cannot write the files") as error:
        close_run(run, now_ns=at(1000))
    assert "loadstone recover r" in error.value.hint
    assert not run.is_closed
    assert document_of(recover_run(run))["requests"] == 1260


def test_the_ledger_of_influxdb_outlives_closing_again(tmp_path):
    folder = closed(tmp_path, varied_run().entries).folder
    ledger = {"stored": 1260, "rejected": 0, "pending": 0}
    set_influx_ledger(folder, ledger)
    document = document_of(close_run(folder, now_ns=at(9999)))
    jsonschema.validate(document, SCHEMA)
    assert document["ledgers"]["influx"] == ledger
    with pytest.raises(ArchiveError, match=r"not closed|missing"):
        set_influx_ledger(RunFolder(tmp_path / "other").create(), ledger)


def test_a_start_event_with_a_value_of_the_wrong_type_is_counted_as_damage_and_the_run_is_closed(tmp_path):
    run = RunMaker().started(seed=4).add(IncarnationMaker().batch(samples(50, 0, 1), final=True)).stopped(1)
    start = next(entry for entry in run.entries if b'"started"' in entry.blob)
    damaged = start._replace(blob=start.blob.replace(b'"seed":4', b'"seed":[4]'))
    assert damaged != start
    document = document_of(closed(tmp_path, [damaged if entry is start else entry for entry in run.entries]))
    jsonschema.validate(document, SCHEMA)
    assert (document["seed"], document["requests"]) == (None, 50)
    assert any("1 journal entries could not be read" in text for text in document["reasons"] + document["notices"])


def test_requests_in_flight_while_a_worker_stood_still_are_judged_without_the_time_it_stood(tmp_path):
    made, incarnation = RunMaker().started(objectives=["max<1s", "failures==0"]), IncarnationMaker()
    made.add(incarnation.batch([*samples(400, 0, 9), Sample(9.5, 2_600_000, error="timed out")], at_s=10))
    stall = Stall(START + round(9.4 * SECOND), 2_400_000, 0)
    made.add(incarnation.batch(samples(400, 10, 59), at_s=59, stalls=(stall,), loop_lag_us=(2_400_000, *[100] * 1000)))
    made.add(incarnation.batch(at_s=60.5, final=True))
    document = document_of(closed(tmp_path, made.stopped(60, requests=801, failures=1).entries))
    assert document["verdict"] == "inconclusive"
    assert "without that, max<1s, failures==0 could have held" in document["reasons"][-1]
    (worker,) = document["worker_health"]
    assert (worker["longest_stall_ms"], worker["longest_stall_at"]) == (2400.0, iso(stall.end_ns))
    assert worker["late_pct"] == pytest.approx(100 * 2.45 / (2.45 + 1000 * 0.0501 + 10 * 0.0501), rel=0.001)


def test_requests_that_a_stall_at_the_end_of_the_window_kept_in_flight_are_no_clear_failure(tmp_path):
    made, incarnation = RunMaker().started(objectives=["p95<500ms"]), IncarnationMaker()
    late = [Sample(60.3 + at / 1e6, 600_000) for at in range(100)]
    stall = Stall(START + round(60.31 * SECOND), 600_000, 0)
    made.add(incarnation.batch([*samples(1000, 0, 59), *late], at_s=61, stalls=(stall,)))
    made.add(incarnation.batch(at_s=61.5, final=True))
    document = document_of(closed(tmp_path, made.stopped(60, requests=1100).entries))
    assert (document["in_flight"]["ended_later"], document["objectives"][0]["ok"]) == (100, False)
    assert (document["verdict"], document["reasons"][-1].split(": ")[-1]) == (
        "inconclusive",
        "without that, p95<500ms could have held",
    )
