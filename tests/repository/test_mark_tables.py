"""The tables that the docs have of kinds of Locust files, of faults and of attacks are those of the tests' marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.attack_table import MarkedTest, rows_of
from support.mark_tables import TABLES, MarkError, Table, TableOnPage, marks_of
from support.tiers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MARKED = """
import pytest

KINDS = [pytest.param("a", marks=pytest.mark.conforms("second, in a list", "equal"))]


@pytest.mark.conforms("third | by position", result="differs: " "in two pieces")
def test_it(): ...


CASES = {"fifth": (1, 2), "sixth, " "of two pieces": (3, 4)}


@pytest.mark.parametrize(
    ("one", "two"), [pytest.param(*case, marks=pytest.mark.conforms(kind, "equal")) for kind, case in CASES.items()]
)
def test_all_of_them(): ...


@pytest.mark.timeout(3)
@pytest.mark.conforms(result="equal", kind="fourth")
class TestAll: ...
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table whose page and tests are the test's own."""
    (tmp_path / "tests" / "room").mkdir(parents=True)
    page = tmp_path / "page.md"
    made = Table(
        mark="conforms", folder=tmp_path / "tests", page=page, arguments=("kind", "result"), columns=("k", "r")
    )
    page.write_text(f"# Page\n\n{made.begin}\n{made.end}\n\nMore.\n")
    return made


@pytest.mark.parametrize("made", TABLES, ids=lambda made: made.mark)
def test_each_page_has_the_table_of_the_marks(made: TableOnPage):
    assert made.written() == made.text(), "run `make tables`"


@pytest.mark.parametrize("made", [made for made in TABLES if isinstance(made, Table)], ids=lambda made: made.mark)
def test_no_kind_and_no_fault_is_named_twice(made: Table):
    names = [row[0] for row in made.rows()]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_test_that_runs_both_ways_names_its_kind():
    """A module that compares with plain Locust and carries no mark would be missing in the table."""
    modules = (ROOT / "tests" / "conformance").glob("test_*.py")
    comparing = [path for path in modules if "threefold" in path.read_text()]
    assert comparing
    assert [path.name for path in comparing if not marks_of(path, "conforms", ("kind", "result"))] == []


def test_marks_are_found_wherever_they_stand(table: Table):
    (table.folder / "room" / "test_marked.py").write_text(MARKED)
    (table.folder / "test_first.py").write_text('@pytest.mark.conforms("a first\\n  one", "equal")\ndef test(): ...\n')
    (table.folder / "helper.py").write_text('@pytest.mark.conforms("no test", "equal")\ndef test(): ...\n')
    assert table.rows() == [
        ("second, in a list", "equal"),
        ("third | by position", "differs: in two pieces"),
        ("fifth", "equal"),
        ("sixth, of two pieces", "equal"),
        ("fourth", "equal"),
        ("a first\n  one", "equal"),
    ]
    table.write()
    assert table.written() == table.text()
    assert "| third \\| by position | differs: in two pieces |\n" in table.page.read_text()
    assert "| a first one | equal |\n" in table.page.read_text()
    table.write()
    assert table.page.read_text().startswith("# Page\n\n<!--")
    assert table.page.read_text().endswith("-->\n\nMore.\n")


@pytest.mark.parametrize(
    "arguments",
    ["KIND, 'equal'", "'one'", "'one', 'equal', 'more'", "'one', ''", "'one', other='equal'", "f'{1}', 'e'"],
)
def test_a_mark_from_which_no_row_can_be_made_is_refused(table: Table, arguments: str):
    (table.folder / "test_wrong.py").write_text(f"\n@pytest.mark.conforms({arguments})\ndef test(): ...\n")
    with pytest.raises(MarkError, match=r"test_wrong.py:2: the mark takes kind, result"):
        table.rows()


def test_a_page_without_a_place_for_its_table_is_refused(table: Table):
    table.page.write_text(f"{table.begin}\n")
    with pytest.raises(MarkError, match=r"page.md has no place"):
        table.write()


def test_inputs_of_one_kind_are_counted_and_listed_once_for_each_tier():
    def test(file: str, inputs: str, outcome: str = "told") -> MarkedTest:
        return MarkedTest(file=file, inputs=inputs, kind="full", outcome=outcome)

    unit, server = "tests/unit/archive/test_it.py", "tests/services/test_it.py"
    tests = [test(unit, "a disk"), test(unit, "a <quota>"), test(unit, "a disk"), test(server, ""), test(server, "")]
    assert rows_of([*tests, test(unit, "", "lost")]) == [
        ("full", "<details><summary>2</summary>a disk, a &#60;quota&#62;</details>", "told", "`make test`"),
        ("full", "2", "told", "`make test-services`"),
        ("full", "1", "lost", "`make test`"),
    ]
