"""A study as files: for CI, for spreadsheets, and the schema of study.json."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from loadstone.capacity.answer import question_text
from loadstone.capacity.files import (
    add_study_files,
    check_study_files,
    study_json,
    study_junit,
    study_markdown,
    write_study_files,
)
from loadstone.capacity.page import page_text
from loadstone.capacity.study import StudyFolder
from loadstone.capacity.study_record import SettingAnswerRecord
from loadstone.capacity.study_schema import schema_text, study_schema
from loadstone.capacity.trials_csv import CSV_HEADER, csv_text, write_trials_csv
from loadstone.errors import UsageError
from support.studies import LESS_CPU, RATE_STUDY, SETTINGS_STUDY, USERS_STUDY, settings_study, trial

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- trials.csv --------------------------------------------------------------------------------------------------------


def test_the_table_begins_with_the_columns_of_those_who_tune_by_hand():
    assert (
        csv_text(SETTINGS_STUDY)
        .splitlines()[0]
        .startswith("users,failures_pct,mean_ms,max_ms,memory_limit_mib,cpu_limit_cores,replicas,remark,")
    )


def test_each_trial_is_a_row_with_its_figures():
    found = rows(csv_text(SETTINGS_STUDY))
    assert len(found) == len(SETTINGS_STUDY.trials)
    assert found[5] == {
        "users": "150",
        "failures_pct": "0.25",
        "mean_ms": "450.0",
        "max_ms": "2700",
        "memory_limit_mib": "512.0",
        "cpu_limit_cores": "0.5",
        "replicas": "2",
        "remark": "p95 is 900 ms, must be < 500 ms",
        "p95_ms": "900",
        "p99_ms": "1350.0",
        "requests_per_s": "148.25",
        "arrivals_per_s": "",
        "peak_memory_mib": "301.0",
        "cpu_used_cores": "0.4",
        "throttled_pct": "83.0",
        "bottleneck": "cpu quota",
        "window_s": "60.0",
        "verdict": "does not hold",
        "run": "20261127-120600-aaaa",
    }


def test_what_is_not_known_is_an_empty_cell():
    unknown = trial(1, None, None, rps=None, cpu_cores=None, peak_mem_bytes=None, throttled_pct=None, run="")
    (row,) = rows(csv_text(settings_study(trials=(unknown,))))
    filled = {name for name, value in row.items() if value}
    assert filled == {"users", "remark", "window_s", "verdict"}


@pytest.mark.parametrize("first", "=+-@")
def test_no_spreadsheet_takes_a_reason_for_a_formula(first: str):
    hostile = trial(1, LESS_CPU, 900, reasons=(f'{first}cmd|"/c calc"!A1',))
    (row,) = rows(csv_text(settings_study(trials=(hostile,))))
    assert row["remark"] == f'\'{first}cmd|"/c calc"!A1'


def test_the_file_is_replaced(tmp_path: Path):
    write_trials_csv(tmp_path, settings_study(trials=()))
    write_trials_csv(tmp_path, SETTINGS_STUDY)
    assert (tmp_path / "trials.csv").read_text() == csv_text(SETTINGS_STUDY)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


def test_every_column_is_described_in_order():
    text = (REFERENCE / "studies.md").read_text().split("\n## trials.csv\n", 1)[1].split("\n## ", 1)[0]
    described = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert described == [*CSV_HEADER]


# -- for CI ------------------------------------------------------------------------------------------------------------


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_study_files(parser)
    return parser.parse_args(words)


def test_a_study_of_rates_is_written_in_arrivals_and_read_again(tmp_path: Path):
    folder = StudyFolder(tmp_path / "s")
    folder.write(RATE_STUDY)
    assert folder.read() == RATE_STUDY
    first, *_ = rows(csv_text(RATE_STUDY))
    assert (first["users"], first["arrivals_per_s"]) == ("", "800.0")
    page, table = page_text(RATE_STUDY), study_markdown(RATE_STUDY)
    assert "| arrivals/s |" in table
    for text in ("arrivals/s that hold", "p95 against arrivals/s", "1 to 100,000, 50 first", "poisson"):
        assert text in page
    assert "users" not in table
    assert " users" not in page


def test_a_study_of_a_version_without_rates_is_read(tmp_path: Path):
    folder = StudyFolder(tmp_path / "s")
    folder.write(SETTINGS_STUDY)
    text = json.loads(folder.study_json.read_text())
    for each in (text["question"], *text["trials"]):
        for name in ("rate", "spread", "max_users"):
            each.pop(name, None)
    folder.study_json.write_text(json.dumps(text))
    assert folder.read() == SETTINGS_STUDY


def test_json_is_the_study_with_sentence_and_exit_code():
    found = json.loads(study_json(SETTINGS_STUDY))
    assert (found["exit_code"], found["sentence"][:27]) == (0, "2 replicas with 0.75 CPU an")
    assert found["confidence"].startswith("Over 3 trials")
    assert msgspec.convert(found, type(SETTINGS_STUDY)) == SETTINGS_STUDY


def test_junit_has_a_case_for_the_answer_and_one_for_each_neighbour():
    suite = ET.fromstring(study_junit(SETTINGS_STUDY)).find("testsuite")
    assert suite is not None
    assert [case.get("name") for case in suite.findall("testcase")] == [
        question_text(SETTINGS_STUDY),
        "one step less does not hold: 2 replicas of 0.5 CPU and 512m",
        "one step less does not hold: 2 replicas of 0.75 CPU and 256m",
    ]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    measured = [suite.get("time"), *(case.get("time") for case in suite.findall("testcase"))]
    assert measured == ["480.000", "240.000", "120.000", "60.000"], "what all trials measured, and those of each case"


def test_junit_of_a_study_without_an_answer_counts_all_trials():
    suite = ET.fromstring(study_junit(settings_study(answer=None))).find("testsuite")
    assert suite is not None
    assert [case.get("time") for case in suite.findall("testcase")] == ["480.000"]


@pytest.mark.parametrize(
    ("changes", "failures", "errors"),
    [
        pytest.param({"setting": None, "smaller": ()}, "1", "0", id="nothing-holds"),
        pytest.param({"proved": False, "open": "no time", "smaller": ()}, "0", "1", id="not-proved"),
    ],
)
def test_junit_fails_where_nothing_holds_and_has_an_error_where_it_is_open(
    changes: dict[str, Any], failures: str, errors: str
):
    suite = ET.fromstring(study_junit(settings_study(answer=replace(SETTINGS_STUDY.answer, **changes)))).find("*")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == (failures, errors)


@pytest.mark.parametrize(("finding", "errors"), [("undecided", "1"), ("holds", "1"), ("breaks", "0")])
def test_junit_has_an_error_for_a_neighbour_that_was_not_shown_to_fail(finding: Any, errors: str):
    answer = SETTINGS_STUDY.answer
    assert isinstance(answer, SettingAnswerRecord)
    study = settings_study(answer=replace(answer, smaller=(replace(answer.smaller[0], finding=finding),)))
    suite = ET.fromstring(study_junit(study)).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", errors)


def test_markdown_is_the_sentence_and_the_table_of_trials():
    text = study_markdown(SETTINGS_STUDY)
    assert text.startswith("## loadstone capacity 20261127\\-120000\\-aaaa: pass\n\n**2 replicas with 0.75 CPU")
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(SETTINGS_STUDY.trials)


def test_markdown_cannot_be_broken_out_of():
    hostile = trial(1, LESS_CPU, 900, reasons=("<img src=x> | [x](http://evil)",))
    text = study_markdown(settings_study(trials=(hostile,)))
    assert "<img" not in text
    assert "[x](" not in text


def test_the_files_that_are_named_are_written(tmp_path: Path):
    names = {name: tmp_path / name for name in ("json", "markdown", "junit")}
    arguments = parsed(*(word for name, path in names.items() for word in (f"--{name}", str(path))))
    check_study_files(arguments)
    write_study_files(arguments, USERS_STUDY)
    assert json.loads(names["json"].read_text())["exit_code"] == 0
    assert "The target holds 140 users" in names["markdown"].read_text()
    assert ET.fromstring(names["junit"].read_text()).tag == "testsuites"


def test_a_file_that_cannot_be_written_is_refused_before_the_study(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--json .*missing/x: folder .* does not exist"):
        check_study_files(parsed("--json", str(tmp_path / "missing" / "x")))
    check_study_files(parsed())


# -- study.json --------------------------------------------------------------------------------------------------------


def test_the_schema_of_study_json_is_the_one_that_its_records_give():
    written = (REFERENCE / "study.schema.json").read_text()
    assert written == schema_text(), "python -m loadstone.capacity.study_schema > docs/reference/study.schema.json"


def test_every_object_of_the_schema_is_described_and_allows_no_other_key():
    schema = study_schema()
    for definition in (schema, *schema["$defs"].values()):
        assert definition["description"]
        assert definition["additionalProperties"] is False


@pytest.mark.parametrize("study", [SETTINGS_STUDY, USERS_STUDY, settings_study(answer=None, calibration=None)])
def test_a_study_obeys_the_schema(tmp_path: Path, study):
    folder = StudyFolder(tmp_path)
    folder.write(study)
    jsonschema.validate(json.loads(folder.study_json.read_text()), study_schema())
