"""Which run is meant, and what to say when that is not clear."""

import json

import pytest

from loadstone.archive.closed_run import list_runs, load_run, resolve_run
from loadstone.archive.folder import RunFolder
from loadstone.errors import ArchiveError, UsageError


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


def test_a_closed_run_is_loaded(results):
    assert load_run(resolve_run(results, "20260102")) == {"id": "20260102-000000-aaaa"}


def test_a_run_that_is_not_closed_says_how_to_close_it(results):
    with pytest.raises(ArchiveError, match="is not closed") as error:
        load_run(resolve_run(results, "latest"))
    assert "loadstone recover 20260103-000000-open" in error.value.hint


def test_a_damaged_run_json_is_said(results):
    folder = resolve_run(results, "20260102")
    folder.run_json.write_text("{")
    with pytest.raises(ArchiveError, match="is not JSON"):
        load_run(folder)
