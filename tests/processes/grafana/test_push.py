"""`loadstone grafana push` and `annotate` against a double of Grafana's API that checks shapes and fails on demand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from loadstone.archive.run_json import read_record, write_record
from loadstone.cli.main import main
from loadstone.errors import ExitCode
from loadstone.grafana.api import GrafanaApi, GrafanaConflictError, GrafanaUnavailableError
from loadstone.grafana.push import DataSource, push, read_boards
from support.closed_runs import MadeRun
from support.grafana_double import TOKEN, GrafanaDouble
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.archive.folder import RunFolder

SOURCE = DataSource(url="http://influxdb:8086", bucket="loadstone", token="reads-only")
UIDS = {path.stem for path in (Path(__file__).resolve().parents[3] / "dashboards").glob("*.json")}


@pytest.fixture
def grafana() -> Iterator[GrafanaDouble]:
    with GrafanaDouble() as double:
        yield double
    assert double.misshapen == []


@pytest.fixture
def api(grafana: GrafanaDouble) -> Iterator[GrafanaApi]:
    with GrafanaApi(grafana.url, TOKEN, pause=lambda _: None) as client:
        yield client


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return MadeRun().close(tmp_path / "results")


def pushed(api: GrafanaApi, source: DataSource | None = SOURCE) -> list[str]:
    return list(push(api, read_boards(), source))


def command(grafana: GrafanaDouble, tmp_path: Path, *arguments: str, token: str = TOKEN) -> int:
    (tmp_path / "token").write_text(f"{token}\n")
    places = ("--url", grafana.url, "--token-file", str(tmp_path / "token"), "--results", str(tmp_path / "results"))
    return main(["grafana", *arguments, *places])


def test_a_push_makes_folder_source_and_boards(grafana: GrafanaDouble, api: GrafanaApi):
    lines = pushed(api)
    assert set(grafana.folders) == {"loadstone"}
    assert grafana.sources["loadstone-influxdb"]["secureJsonData"] == {"httpHeaderValue1": "Token reads-only"}
    assert grafana.sources["loadstone-influxdb"]["jsonData"]["dbName"] == "loadstone"
    assert set(grafana.boards) == UIDS
    assert {each["meta"]["folderUid"] for each in grafana.boards.values()} == {"loadstone"}
    assert len(lines) == 2 + len(UIDS)
    assert all(line.endswith("created") for line in lines)


def test_a_second_push_writes_nothing_but_the_token_that_cannot_be_read_back(grafana: GrafanaDouble, api: GrafanaApi):
    pushed(api)
    before = len(grafana.writes)
    pushed(api)
    assert grafana.writes[before:] == [("PUT", "/api/datasources/uid/loadstone-influxdb")]
    pushed(api, None)
    pushed(api, DataSource(url=SOURCE.url, bucket=SOURCE.bucket))
    assert len(grafana.writes) == before + 2, "without the token the source differs once"


def test_a_source_without_a_token_is_unchanged_the_second_time(grafana: GrafanaDouble, api: GrafanaApi):
    source = DataSource(url=SOURCE.url, bucket=SOURCE.bucket)
    pushed(api, source)
    before = grafana.writes
    assert "data source loadstone-influxdb: unchanged" in pushed(api, source)
    assert grafana.writes == before


def test_a_changed_board_is_brought_up_to_date_as_the_next_version(grafana: GrafanaDouble, api: GrafanaApi):
    pushed(api)
    boards = read_boards()
    changed = {**boards[0], "description": "another one"}
    lines = list(push(api, [changed, *boards[1:]], None))
    stored = grafana.boards[boards[0]["uid"]]["dashboard"]
    assert (stored["description"], stored["version"]) == ("another one", 2)
    assert sum(line.endswith("updated") for line in lines) == 1


def test_objects_that_loadstone_did_not_create_are_left_unchanged(grafana: GrafanaDouble, api: GrafanaApi):
    theirs = {"uid": "loadstone-influxdb", "name": "mine", "type": "influxdb", "url": "http://x", "jsonData": {}}
    grafana.sources["loadstone-influxdb"] = dict(theirs)
    grafana.folders["loadstone"] = {"uid": "loadstone", "title": "A title that people gave it"}
    grafana.boards["other"] = {"meta": {}, "dashboard": {"uid": "other", "title": "Other"}}
    lines = pushed(api)
    assert grafana.sources["loadstone-influxdb"] == theirs
    assert grafana.folders["loadstone"]["title"] == "A title that people gave it"
    assert grafana.boards["other"]["dashboard"]["title"] == "Other"
    assert "data source loadstone-influxdb: left unchanged, because loadstone did not create it" in lines


@pytest.mark.parametrize(
    "there",
    [
        {
            "meta": {"folderUid": "general"},
            "dashboard": {"tags": ["loadstone"], "title": "Mine", "id": 1, "version": 1},
        },
        {"meta": {"folderUid": "loadstone"}, "dashboard": {"tags": [], "title": "Mine", "id": 1, "version": 1}},
    ],
)
def test_a_board_of_the_same_uid_that_is_not_ours_is_refused(
    grafana: GrafanaDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: dict[str, Any]
):
    uid = "loadstone-run"
    grafana.boards[uid] = there
    assert command(grafana, tmp_path, "push", "--influx-url", "http://influxdb:8086") == ExitCode.USAGE
    assert grafana.boards[uid] is there
    assert "did not create ('Mine')" in capsys.readouterr().err


def test_boards_that_a_file_provisions_are_left_alone(grafana: GrafanaDouble, api: GrafanaApi):
    there = {"meta": {"provisioned": True, "folderUid": "loadstone"}, "dashboard": {"tags": ["loadstone"]}}
    grafana.boards["loadstone-run"] = there
    assert "board Run: left unchanged, because it is provisioned from a file" in pushed(api)
    assert grafana.boards["loadstone-run"] is there


def test_a_missing_data_source_that_is_not_given_is_reported(
    grafana: GrafanaDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert command(grafana, tmp_path, "push") == ExitCode.USAGE
    assert "Give the address at which Grafana reaches InfluxDB with --influx-url" in capsys.readouterr().err
    assert grafana.boards == {}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_reported_at_once_and_not_retried(
    grafana: GrafanaDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
):
    grafana.fail(status)
    assert command(grafana, tmp_path, "push") == ExitCode.USAGE
    assert "refuses the token" in capsys.readouterr().err
    assert len(grafana.requests) == 1
    assert TOKEN not in capsys.readouterr().err


def test_a_wrong_token_is_refused_by_the_double_too(grafana: GrafanaDouble, tmp_path: Path):
    assert command(grafana, tmp_path, "push", token="wrong") == ExitCode.USAGE
    assert grafana.writes == []


def test_a_404_for_a_write_says_that_this_is_no_grafana(grafana: GrafanaDouble, api: GrafanaApi):
    grafana.fail(404, method="GET")
    grafana.fail(404, method="POST")
    with pytest.raises(Exception, match=r"does not know /api/folders \(404\)"):
        pushed(api)


@pytest.mark.parametrize("after_storing", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_failing_grafana_is_tried_again_and_nothing_is_made_twice(
    grafana: GrafanaDouble, api: GrafanaApi, status: int, after_storing: bool
):
    grafana.fail(status, after_storing=False, method="GET")
    grafana.fail(status, after_storing=after_storing, method="POST")
    pushed(api)
    assert set(grafana.boards) == UIDS
    assert {each["dashboard"]["version"] for each in grafana.boards.values()} == {1}
    assert len(grafana.folders) == len(grafana.sources) == 1


def test_a_grafana_that_keeps_failing_is_given_up(grafana: GrafanaDouble, api: GrafanaApi):
    grafana.fail(*[503] * 4)
    with pytest.raises(GrafanaUnavailableError, match="503"):
        pushed(api)
    assert len(grafana.requests) == 4


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_reported_and_nothing_is_overwritten(grafana: GrafanaDouble, api: GrafanaApi, status: int):
    pushed(api)
    changed = [{**board, "description": "new"} for board in read_boards()[:1]]
    before = json.dumps(grafana.boards, sort_keys=True)
    grafana.fail(status, method="POST")
    with pytest.raises(GrafanaConflictError, match="in the meantime"):
        list(push(api, changed, None))
    assert json.dumps(grafana.boards, sort_keys=True) == before


def test_a_board_that_changes_between_look_and_write_is_not_overwritten(grafana: GrafanaDouble, api: GrafanaApi):
    pushed(api)
    uid = read_boards()[0]["uid"]

    def someone_saves() -> None:
        grafana.boards[uid]["dashboard"]["version"] += 1

    grafana.on_write = someone_saves
    with pytest.raises(GrafanaConflictError, match="changed by someone else"):
        list(push(api, [{**read_boards()[0], "description": "new"}], None))


def test_a_grafana_that_cannot_be_reached_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with (
        GrafanaApi(f"http://127.0.0.1:{free_port()}", TOKEN, pause=lambda _: None) as away,
        pytest.raises(GrafanaUnavailableError, match="cannot be reached"),
    ):
        pushed(away)


@pytest.mark.parametrize("content", ["", "two words", None])
def test_a_token_file_that_is_not_valid_is_reported(
    grafana: GrafanaDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    assert main(["grafana", "push", "--url", grafana.url, "--token-file", str(file)]) == ExitCode.USAGE
    assert "--token-file" in capsys.readouterr().err
    assert grafana.requests == []


def test_missing_options_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["grafana", "annotate"]) == ExitCode.USAGE
    assert main(["grafana", "push", "a-run"]) == ExitCode.USAGE
    assert main(["grafana", "push"]) == ExitCode.USAGE
    assert main(["grafana", "push", "--url", "http://127.0.0.1:1"]) == ExitCode.USAGE
    problems = capsys.readouterr().err
    assert "Name it with --url" in problems
    assert "no token is given" in problems


def test_a_run_is_marked_as_a_region(
    grafana: GrafanaDouble, tmp_path: Path, run: RunFolder, capsys: pytest.CaptureFixture[str]
):
    assert command(grafana, tmp_path, "annotate", "latest") == ExitCode.PASS
    (mark,) = grafana.annotations.values()
    document = json.loads((run.path / "run.json").read_text())
    assert mark["timeEnd"] - mark["time"] == 20_000
    assert mark["tags"] == sorted(["loadstone", f"run:{run.run}", f"verdict:{document['verdict']}"])
    assert f"{document['summary']['window']['total']['rps']:.4g}" in mark["text"]
    assert "marked" in capsys.readouterr().out


def test_a_run_is_marked_once_and_a_new_verdict_changes_the_mark(
    grafana: GrafanaDouble, tmp_path: Path, run: RunFolder
):
    for _ in range(2):
        assert command(grafana, tmp_path, "annotate", run.run) == ExitCode.PASS
    assert len(grafana.writes) == len(grafana.annotations) == 1
    write_record(run, replace(read_record(run), verdict="fail"))
    assert command(grafana, tmp_path, "annotate", run.run) == ExitCode.PASS
    (mark,) = grafana.annotations.values()
    assert "verdict:fail" in mark["tags"]


def test_a_mark_on_one_board_is_another_mark(grafana: GrafanaDouble, tmp_path: Path, run: RunFolder):
    assert command(grafana, tmp_path, "annotate", run.run) == ExitCode.PASS
    assert command(grafana, tmp_path, "annotate", run.run, "--board", "my-board") == ExitCode.PASS
    assert [each["dashboardUID"] for each in grafana.annotations.values()] == ["", "my-board"]


def test_a_mark_that_was_stored_but_answered_with_an_error_is_not_made_twice(
    grafana: GrafanaDouble, tmp_path: Path, run: RunFolder
):
    grafana.fail(502, method="GET")
    grafana.fail(502, after_storing=True, method="POST")
    assert command(grafana, tmp_path, "annotate", run.run) == ExitCode.PASS
    assert len(grafana.annotations) == 1


def test_annotations_of_others_are_left_unchanged(grafana: GrafanaDouble, tmp_path: Path, run: RunFolder):
    theirs = {"id": 99, "time": 1, "tags": ["loadstone"], "text": "deployed", "dashboardUID": ""}
    grafana.annotations[99] = dict(theirs)
    assert command(grafana, tmp_path, "annotate", run.run) == ExitCode.PASS
    assert grafana.annotations[99] == theirs


def test_the_double_refuses_what_grafana_refuses():
    with GrafanaDouble() as double, GrafanaApi(double.url, TOKEN) as api:
        with pytest.raises(Exception, match="400"):
            api.create("/api/annotations", {"time": "now", "tags": [], "text": ""})
        with pytest.raises(Exception, match="400"):
            api.create("/api/folders", {"name": "a folder"})
        assert len(double.misshapen) == 2
