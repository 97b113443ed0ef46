"""The boards' JSON: up to date with the generator, complete, valid, and readable by Grafana's SDK."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from boards.generate import BOARDS, PAGE_FILE, rendered
from boards.sdk import JSONEncoder, models, register_default_plugins

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "dashboards"
SCHEMA = Path(__file__).with_name("dashboard.schema.json")
PANEL_SCHEMAS = Path(__file__).with_name("panels.schema.json")
MEASUREMENTS = (ROOT / "docs" / "reference" / "measurements.md").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!tag_|col\b|timeFilter\b|__interval\b|/|\{)(\w+)")
GRAFANAS_OWN = {"__from", "__to", "__url_time_range", "__data"}


@pytest.fixture(scope="module", params=[board.uid for board in BOARDS])
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads((FOLDER / f"{request.param}.json").read_text())


def every_query(board: dict[str, Any]) -> list[str]:
    asked = [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    marks = [each["target"]["query"] for each in board["annotations"]["list"]]
    return [*(target["query"] for panel in board["panels"] for target in panel.get("targets", [])), *asked, *marks]


def test_the_checked_in_files_are_what_the_generator_writes():
    alerting = ROOT / "grafana" / "provisioning" / "alerting"
    files = [*FOLDER.glob("*.json"), *alerting.iterdir(), ROOT / PAGE_FILE]
    checked_in = {str(path.relative_to(ROOT)): path.read_text() for path in files}
    assert checked_in == rendered(), "run `make dashboards`"


def test_a_board_conforms_to_grafanas_schema(board: dict[str, Any]):
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(board)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda board: board["panels"][0].update(gridPos={"x": "0"}),
        lambda board: board.update(graphTooltip="crosshair"),
        lambda board: board["panels"][0].update(transparent="yes"),
        lambda board: board["templating"]["list"][0].update(hide="never"),
        lambda board: board.update(schemaVersion="39"),
    ],
)
def test_an_invalid_board_is_detected(spoil: Any):
    board = json.loads((FOLDER / f"{BOARDS[0].uid}.json").read_text())
    spoil(board)
    assert list(jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(board))


def test_a_board_survives_the_round_trip_through_the_sdk(board: dict[str, Any]):
    register_default_plugins()
    read = json.loads(json.dumps(models.Dashboard.from_json(board), cls=JSONEncoder))
    for panel in read["panels"]:
        if panel["type"] == "table":
            del panel["options"]["footer"]  # the SDK adds one to every table; Grafana's types have none
    assert read == board


def test_ids_are_unique(board: dict[str, Any]):
    ids = [panel["id"] for panel in board["panels"]]
    titles = [panel["title"] for panel in board["panels"]]
    names = [each["name"] for each in board["templating"]["list"]]
    assert len({*ids}) == len(ids)
    assert len({*titles}) == len(titles)
    assert len({*names}) == len(names)
    for panel in board["panels"]:
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len({*refs}) == len(refs), panel["title"]


def test_boards_have_different_uids_and_titles():
    assert len({board.uid for board in BOARDS}) == len({board.title for board in BOARDS}) == len(BOARDS)


def test_every_panel_has_a_unit_a_description_and_a_source(board: dict[str, Any]):
    source = {"type": "influxdb", "uid": "loadstone-influxdb"}
    for panel in board["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert re.fullmatch(r"[A-Z0-9].+[.]", panel["description"]), panel["title"]
        assert panel["datasource"] == source, panel["title"]
        assert all(target["datasource"] == source for target in panel.get("targets", []))
    for variable in board["templating"]["list"]:
        assert variable["description"].endswith("."), variable["name"]


def test_panels_stay_within_the_grid_and_do_not_overlap(board: dict[str, Any]):
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_queries_use_variables_of_the_board_with_a_format(board: dict[str, Any]):
    known = {each["name"] for each in board["templating"]["list"]}
    for query in every_query(board):
        for name, style, bare in VARIABLE.findall(query):
            assert not bare, f"{bare} without a format: {query}"
            assert name in GRAFANAS_OWN or (name in known and style in {"raw", "regex"}), query


def test_a_variable_in_a_regular_expression_is_escaped(board: dict[str, Any]):
    for query in every_query(board):
        for expression in re.findall(r"=~ /(.*?)/(?:\s|$|\))", query):
            assert ":raw}" not in expression, query


def test_queries_name_only_measurements_and_fields_that_are_documented(board: dict[str, Any]):
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", MEASUREMENTS, re.MULTILINE | re.DOTALL))
    rollup = set(re.findall(r"^\| (?:tag|field) \| `(\w+)`", sections["rollup"], re.MULTILINE))
    for query in every_query(board):
        (measurement,) = set(re.findall(r'FROM "(\w+)"', query))
        known = set(re.findall(r"^\| (?:tag|field) \| `(\w+)`", sections[measurement], re.MULTILINE))
        known |= rollup if measurement.startswith("rollup") else set()
        made = set(re.findall(r'AS "([^"]+)"', query))
        used = set(re.findall(r'"([^"]+)"', query)) - made - {measurement}
        assert used <= known, query


def test_queries_read_raw_requests_over_at_most_one_minute(board: dict[str, Any]):
    for query in every_query(board):
        if '"request"' in query:
            assert "time > ${__to}ms - 60s AND time <= ${__to}ms" in query


def test_a_panel_of_the_open_model_alone_says_why_it_is_empty_for_other_runs(board: dict[str, Any]):
    only = re.compile(r'"(arrivals_|lateness_|service_)[a-z0-9_]+"')
    for panel in board["panels"]:
        asked = [target["query"] for target in panel.get("targets", [])]
        if panel["type"] != "table" and asked and all(only.search(query) for query in asked):
            assert "without a rate" in panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["noValue"] == "no rate of arrivals: closed model", panel["title"]


def test_boards_link_to_each_other(board: dict[str, Any]):
    targets = {link["url"]: link for link in board["links"]}
    assert set(targets) == {f"/d/{each.uid}" for each in BOARDS} - {f"/d/{board['uid']}"}
    assert all(link["includeVars"] for link in targets.values())


def test_every_board_has_its_picture_unless_it_says_so(board: dict[str, Any]):
    (pictured,) = (each.has_picture for each in BOARDS if each.uid == board["uid"])
    picture = ROOT / "docs" / "images" / f"{board['uid']}.png"
    assert (f"images/{picture.name}" in (ROOT / PAGE_FILE).read_text()) is pictured
    assert picture.exists() is pictured
    assert not pictured or picture.read_bytes().startswith(b"\x89PNG")


def wrong_with(panel: dict[str, Any], part: str) -> list[str]:
    found = panel.get("options") if part == "options" else panel["fieldConfig"]["defaults"].get("custom")
    if found is None:
        return []
    schema = json.loads(PANEL_SCHEMAS.read_text())[panel["type"]][part]
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(found)]


@pytest.mark.parametrize("part", ["options", "custom"])
def test_the_options_of_every_panel_conform_to_grafanas_schema(board: dict[str, Any], part: str):
    assert {panel["title"]: told for panel in board["panels"] if (told := wrong_with(panel, part))} == {}


@pytest.mark.parametrize("kind", ["timeseries", "stat", "table", "heatmap", "xychart", "bargauge", "text"])
def test_an_option_unknown_to_grafana_is_detected(kind: str):
    boards = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    panel = next(panel for board in boards for panel in board["panels"] if panel["type"] == kind)
    panel["options"]["colourOfTheSky"] = "blue"
    assert any("colourOfTheSky" in told for told in wrong_with(panel, "options"))
