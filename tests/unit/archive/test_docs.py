"""The reference pages say what is there."""

import re
from pathlib import Path

import pytest

from loadstone.archive.finalize.tables import OPEN_REQUESTS, OPEN_ROLLUPS, REQUESTS, ROLLUPS, USAGE
from loadstone.archive.folder import RunFolder
from loadstone.archive.run_schema import run_schema, schema_text
from loadstone.domain.objective import parse_objectives

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
ARCHIVE = (REFERENCE / "archive.md").read_text()
OBJECTIVES = (REFERENCE / "objectives.md").read_text()


def table_of(text, heading):
    """The first column and the second of the table below a heading."""
    section = f"\n{text}".split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    return re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "schema"),
    [("requests.parquet", OPEN_REQUESTS), ("rollups.parquet", OPEN_ROLLUPS), ("usage.parquet", USAGE)],
)
def test_every_column_is_described_in_order_with_its_type(file, schema):
    kinds = {"timestamp": "timestamp", "dictionary": "text", "double": "float64", "bool": "bool", "list": "list of "}
    described = table_of(ARCHIVE, f"## {file}")
    assert [name for name, _ in described] == schema.names
    for (_, kind), field in zip(described, schema, strict=True):
        word = re.match(r"\w+", str(field.type))[0]
        inner = str(field.type.value_type) if word == "list" else ""
        assert kind == kinds.get(word, word) + inner


@pytest.mark.parametrize(("closed", "opened"), [(REQUESTS, OPEN_REQUESTS), (ROLLUPS, OPEN_ROLLUPS)])
def test_the_columns_that_only_the_open_model_has_come_last_and_are_described_as_such(closed, opened):
    assert list(opened)[: len(closed)] == list(closed)
    assert f"| `{opened.names[len(closed)]}` | int64 | µs | open model only" in ARCHIVE


def test_the_schema_of_run_json_is_the_one_that_its_records_give():
    written = (REFERENCE / "run.schema.json").read_text()
    assert written == schema_text(), "python -m loadstone.archive.run_schema > docs/reference/run.schema.json"


def test_every_object_of_the_schema_is_described_and_allows_no_other_key():
    schema = run_schema()
    for definition in (schema, *schema["$defs"].values()):
        assert definition["description"]
        assert definition["additionalProperties"] is False


def test_every_file_of_a_run_folder_is_described():
    properties = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    found = [getattr(RunFolder(Path("r")), name) for name in properties]
    paths = {value for value in found if isinstance(value, Path) and not value.name.startswith(".")}
    described = {name.rstrip("/") for name, _ in table_of(ARCHIVE, "# The folder of a run")}
    assert described == {path.name for path in paths}


def test_every_example_of_an_objective_can_be_given():
    (examples,) = re.findall(r"```text\n(.*?)```", OBJECTIVES, re.DOTALL)
    assert len(parse_objectives(examples.splitlines())) == len(examples.splitlines())
