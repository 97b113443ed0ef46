"""Finding a run by its id, and the error when the id is ambiguous."""

import json
import shutil

import msgspec
import pytest

from loadstone.archive.closed_run import ClosedRun, list_runs, resolve_run
from loadstone.archive.folder import RunFolder
from loadstone.archive.run_json import write_record
from loadstone.domain.event import EventKind
from loadstone.errors import ArchiveError, UsageError
from support.closed_runs import MadeRun
from support.run_files import without_digests, write_document


@pytest.fixture
def results(tmp_path):
    for run in ("20260102-000000-aaaa", "20260101-000000-bbbb", "20260101-000000-bccc"):
        folder = RunFolder(tmp_path / run).create()
        folder.run_json.write_text(json.dumps({"id": run}))
    RunFolder(tmp_path / "20260103-000000-open").create().journal.mkdir()
    (tmp_path / "20260109-no-run").mkdir()
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_runs_are_listed_oldest_first_whether_closed_or_not(results):
    assert [folder.run[-4:] for folder in list_runs(results)] == ["bbbb", "bccc", "aaaa", "open"]
    assert list_runs(results / "missing") == []


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("latest", "20260103-000000-open"),
        ("20260102", "20260102-000000-aaaa"),
        ("20260101-000000-bb", "20260101-000000-bbbb"),
        ("20260101-000000-bccc", "20260101-000000-bccc"),
    ],
)
def test_a_run_is_found_by_its_id_its_beginning_or_as_the_latest(results, text, run):
    assert resolve_run(results, text).run == run


def test_a_run_is_found_by_the_path_of_its_folder(results, tmp_path_factory):
    path = results / "20260102-000000-aaaa"
    assert resolve_run(tmp_path_factory.mktemp("other"), str(path)) == RunFolder(path)


def test_a_beginning_that_several_runs_share_is_refused_with_the_candidates(results):
    with pytest.raises(UsageError, match="ambiguous: 20260101-000000-bbbb, 20260101-000000-bccc"):
        resolve_run(results, "20260101")


@pytest.mark.parametrize("text", ["2027", "", "20260109-no-run", "../20260102-000000-aaaa"])
def test_a_run_that_is_not_there_is_refused_with_the_newest(results, text):
    with pytest.raises(UsageError, match=r"there is no run .* the newest are .*20260103-000000-open"):
        resolve_run(results, text)


def test_without_any_run_it_is_said_how_to_get_one(tmp_path):
    with pytest.raises(UsageError, match="there is no run in") as error:
        resolve_run(tmp_path, "latest")
    assert "loadstone run" in error.value.hint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return MadeRun(seconds=6, failure_share=0.2).close(tmp_path_factory.mktemp("results"))


@pytest.fixture
def writable(folder, tmp_path):
    return RunFolder(shutil.copytree(folder.path, tmp_path / folder.run))


def test_an_opened_run_holds_everything_of_its_run_json(folder):
    record = ClosedRun.open(folder).record
    assert json.loads(msgspec.json.encode(record)) == json.loads(folder.run_json.read_text())
    assert [figures.request_name for figures in record.summary.run.names] == [("GET", "/"), ("POST", "/predict")]


def test_the_judged_part_is_the_window_or_the_whole_run_without_one(folder):
    record = ClosedRun.open(folder).record
    assert record.judged is record.summary.window
    shut = msgspec.structs.replace(record, window=msgspec.structs.replace(record.window, opened=False))
    assert shut.judged is record.summary.run


def test_tables_are_read_whole_by_column_or_in_batches(folder):
    run = ClosedRun.open(folder)
    assert run.requests().rows == run.record.requests == 240
    assert sum(batch.num_rows for batch in run.requests().batches(["rt_us"], rows=100)) == 240
    assert next(run.requests().batches(rows=100)).num_rows == 100
    assert run.rollups().read(["second", "n"]).column_names == ["second", "n"]
    assert sum(run.rollups().read()["n"].to_pylist()) == 240
    assert run.usage().schema.names[:3] == ["at", "service", "container"]


def test_events_are_read_as_typed_events_of_the_run(folder):
    events = list(ClosedRun.open(folder).events())
    assert [event.kind for event in events[:2]] == [EventKind.STARTED, EventKind.ROSTER]
    assert {event.run for event in events} == {folder.run}
    assert events[0].payload.host == "http://target"


def test_failures_are_read_with_their_names_and_counts(folder):
    run = ClosedRun.open(folder)
    failures = list(run.failures())
    assert sum(failure.occurrences for failure in failures) == run.record.failures > 0
    assert {failure.name for failure in failures} == {("GET", "/"), ("POST", "/predict")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is damaged"),
        ("[]", "is damaged: Expected `object`"),
        ("{}", "is damaged: Object missing required field `format`"),
        ('{"format": 1, "id": "r"}', "is damaged: Object missing required field"),
        ('{"format": "1"}', r"is damaged: Expected `int`, got `str` - at `\$.format`"),
    ],
)
def test_a_run_json_that_is_no_record_is_refused_with_the_file_and_the_cure(writable, text, problem):
    writable.run_json.write_text(text)
    with pytest.raises(ArchiveError, match=f"{writable.run_json} {problem}") as error:
        ClosedRun.open(writable)
    assert f"loadstone recover {writable.run}" in error.value.hint


def test_a_truncated_or_mistyped_run_json_is_refused(writable):
    whole = writable.run_json.read_text()
    writable.run_json.write_text(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match="is damaged: Input data was truncated"):
        ClosedRun.open(writable)
    document = json.loads(whole)
    document["summary"]["run"]["total"]["requests"] = "240"
    writable.run_json.write_text(json.dumps(document))
    with pytest.raises(ArchiveError, match=r"Expected `int`, got `str` - at `\$.summary.run.total.requests`"):
        ClosedRun.open(writable)


def test_a_run_json_of_another_format_says_who_wrote_it_and_what_is_read_here(writable):
    writable.run_json.write_text(json.dumps({"format": 99, "versions": {"loadstone": "7.1.0"}}))
    with pytest.raises(ArchiveError, match=r"has format 99, written by loadstone 7\.1\.0; this version reads format 1"):
        ClosedRun.open(writable)
    writable.run_json.write_text('{"format": 0}')
    with pytest.raises(ArchiveError, match="has format 0; this version reads format 1"):
        ClosedRun.open(writable)


def test_a_field_that_is_not_known_is_ignored(writable):
    document = json.loads(writable.run_json.read_text()) | {"from_the_future": [1]}
    write_document(writable, document)
    assert ClosedRun.open(writable).record.id == writable.run


def test_a_run_that_is_not_closed_cannot_be_opened(results):
    with pytest.raises(ArchiveError, match="is not closed") as error:
        ClosedRun.open(resolve_run(results, "latest"))
    assert "loadstone recover 20260103-000000-open" in error.value.hint


@pytest.mark.parametrize("content", [None, b"PAR1 not really"])
def test_a_missing_or_damaged_table_says_how_to_build_it_again(writable, content):
    without_digests(writable)
    writable.rollups.unlink() if content is None else writable.rollups.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"rollups\.parquet cannot be read") as error:
        ClosedRun.open(writable).rollups()
    assert f"loadstone recover {writable.run}" in error.value.hint


def test_a_table_that_is_damaged_inside_says_so_while_it_is_read(writable):
    without_digests(writable)
    content = bytearray(writable.requests.read_bytes())
    content[4:2000] = bytes(1996)
    writable.requests.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"requests\.parquet cannot be read"):
        list(ClosedRun.open(writable).requests().batches())
    with pytest.raises(ArchiveError, match=r"requests\.parquet cannot be read"):
        ClosedRun.open(writable).requests().read()


@pytest.mark.parametrize("name", ["events", "failures_csv"])
@pytest.mark.parametrize("content", [None, "{\n"])
def test_missing_or_damaged_events_and_failures_say_how_to_build_them_again(writable, name, content):
    path = getattr(without_digests(writable), name)
    path.unlink() if content is None else path.write_text(content + "x,y\n")
    run = ClosedRun.open(writable)
    with pytest.raises(ArchiveError, match=f"{path.name} cannot be read"):
        list(run.events() if name == "events" else run.failures())


def test_a_text_that_utf8_cannot_hold_does_not_keep_a_run_from_being_written(writable):
    record = ClosedRun.open(writable).record
    write_record(writable, msgspec.structs.replace(record, reasons=("bad \ud800 text",)))
    assert ClosedRun.open(writable).record.reasons == ("bad ? text",)


def test_figures_that_are_no_number_are_written_as_null(writable):
    record = ClosedRun.open(writable).record
    write_record(writable, msgspec.structs.replace(record, spawn_rate=float("nan"), warmup_s=float("inf")))
    again = ClosedRun.open(writable).record
    assert (again.spawn_rate, again.warmup_s) == (None, None)


def test_run_json_keeps_the_order_of_its_keys(folder):
    document = json.loads(folder.run_json.read_text())
    assert list(document)[:7] == ["format", "id", "started_at", "ended_at", "closed_at", "window", "scenario"]
    assert list(document["summary"]["run"]["names"][0])[:3] == ["method", "name", "requests"]
    after = ["objectives", "verdict", "exit_code", "reasons", "notices", "contents", "salvage", "files", "digest"]
    assert list(document)[-9:] == after
